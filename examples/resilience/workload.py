"""What players ask for: a few actions again and again, and many now and then."""

from __future__ import annotations

COMMON = [f"Move to waypoint {letter}" for letter in "ABCDEFGHIJ"] + [
    "Attack the nearest enemy",
    "Attack the weakest enemy",
    "Defend the gate",
    "Defend the tower",
    "Hold position",
    "Hold fire",
    "Move to cover",
    "Move to the healer",
    "Defend the healer",
    "Attack on sight",
]
RARE = [f"Retreat to fallback point {number}" for number in range(50)] + [
    f"Use ultimate ability {number}" for number in range(50)
]


def workload(rng, requests=1000, common=0.8):
    """Prompts in random order, *common* of them from the twenty that everybody uses."""
    return [rng.choice(COMMON if rng.random() < common else RARE) for _ in range(requests)]
