"""Draws how often the gate catches a true regression, by requests per run: docs/explanation/gate-power.svg.

Run: ``python benchmarks/gate_power.py``. Seeded; prints the numbers that it draws. ``--trials 20 --out FILE``
is for a glance.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pytest_llmperf.core import gate
from pytest_llmperf.core.outcome import Outcome

OUT = Path(__file__).parents[1] / "docs" / "explanation" / "gate-power.svg"
COUNTS = (30, 60, 120, 240, 480, 960)
BASELINE = 1000
LEFT, TOP, WIDTH, HEIGHT = 60, 20, 460, 280


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One kind of scenario and one true change."""

    sigma: float  #: spread of the logarithm of a request's time
    effect: float
    noise: float  #: run-to-run noise, known to the gate
    colour: str

    @property
    def name(self) -> str:
        """The line of the legend."""
        machine = f", run noise {100 * self.noise:.0f} %" if self.noise else ""
        return f"+{100 * (self.effect - 1):.0f} %, sigma {self.sigma}{machine}"


CURVES = (
    Curve(sigma=0.1, effect=1.2, noise=0.0, colour="#1b7837"),
    Curve(sigma=0.3, effect=1.5, noise=0.0, colour="#762a83"),
    Curve(sigma=0.3, effect=1.3, noise=0.0, colour="#2166ac"),
    Curve(sigma=0.3, effect=1.2, noise=0.0, colour="#b2182b"),
    Curve(sigma=0.6, effect=1.5, noise=0.0, colour="#e08214"),
    Curve(sigma=0.1, effect=1.2, noise=0.05, colour="#4d4d4d"),
)


def power(curve: Curve, n: int, trials: int) -> float:
    """Share of trials in which the last of the looks up to *n* proves the regression."""
    rng = np.random.default_rng(n)
    runs = 5

    def run(size: int) -> np.ndarray:
        return np.exp(rng.normal(0, curve.sigma, (trials, size)) + rng.normal(0, curve.noise, (trials, 1)))

    looks = gate.looks(COUNTS[0], n)
    stored = [run(BASELINE // runs) for _ in range(runs)]
    outcomes = gate.decide_many(
        run(n) * curve.effect, stored, look=len(looks) - 1, looks=looks, run_effect=curve.noise
    )
    return float(np.mean([outcome is Outcome.REGRESSED for outcome in outcomes]))


def place(n: float, share: float) -> tuple[float, float]:
    """Where a point lies in the picture; n on a logarithmic scale."""
    across = math.log(n / COUNTS[0]) / math.log(COUNTS[-1] / COUNTS[0])
    return LEFT + WIDTH * across, TOP + HEIGHT * (1 - share)


def draw(found: dict[Curve, list[float]]) -> str:
    """The picture as SVG text, on a background of its own so that it reads in dark mode too."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {TOP + HEIGHT + 50}" role="img">',
        "<style>text { font: 12px sans-serif }</style>",
        "<title>Share of true regressions that are proven, by requests per run</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(COUNTS[0], share)
        lines.append(f'<line x1="{x}" y1="{y:.0f}" x2="{x + WIDTH}" y2="{y:.0f}" stroke="#ddd"/>')
        lines.append(f'<text x="{x - 8}" y="{y + 4:.0f}" text-anchor="end">{100 * share:.0f} %</text>')
    for n in COUNTS:
        x, y = place(n, 0)
        lines.append(f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">{n}</text>')
    x, y = LEFT + WIDTH / 2, TOP + HEIGHT + 40
    lines.append(f'<text x="{x}" y="{y}" text-anchor="middle">requests (logarithmic)</text>')
    for number, (curve, shares) in enumerate(found.items()):
        points = [place(n, share) for n, share in zip(COUNTS, shares, strict=True)]
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
        style = f'stroke="{curve.colour}" stroke-width="2"' + ' stroke-dasharray="6 4"' * (curve.noise > 0)
        y = TOP + 20 + 22 * number
        lines.append(f'<polyline points="{path}" fill="none" {style}/>')
        lines.append(f'<line x1="535" y1="{y - 4}" x2="560" y2="{y - 4}" {style}/>')
        lines.append(f'<text x="568" y="{y}">{curve.name}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=400, help="per point (default: 400)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the picture goes")
    asked = parser.parse_args()
    found = {curve: [power(curve, n, asked.trials) for n in COUNTS] for curve in CURVES}
    for curve, shares in found.items():
        print(
            f"{curve.name:32}"
            + "".join(f"{n:6}: {100 * share:3.0f} %" for n, share in zip(COUNTS, shares, strict=True))
        )
    asked.out.write_text(draw(found), encoding="utf-8")


if __name__ == "__main__":
    main()
