"""Why times measured under load may not be the server's own, and which checks that leaves standing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.verdict import Check, CheckKind

#: A lag beyond this share of a time changes what can be said of it.
LAG_SHARE = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One reason. What is not known of it is as bad as can be."""

    told: str  #: a sentence without its stop
    excess_s: float = math.inf  #: by how much a time may be longer than the server's
    hides: bool = True  #: whether slower requests may be missing


def told(doubts: Sequence[Doubt]) -> str:
    """All of them in one sentence."""
    return "; ".join(doubt.told for doubt in doubts)


def stands(check: Check, doubts: Sequence[Doubt]) -> bool:
    """Whether *check* says the same of the server's own times, whatever *doubts* there are.

    A time that is past its limit by more than the generator can have added is past it, and requests that are
    missing because they were too slow make it no better. A limit far above any lateness is kept by times that
    are, if anything, too long.
    """
    excess_s = sum(doubt.excess_s for doubt in doubts)
    if check.unit != "s" or check.limit is None or check.observed is None:
        return False
    if check.outcome in BROKEN:
        return not excess_s or _least_s(check) - excess_s > _limit_s(check)
    kept = check.outcome is Outcome.PASSED and check.kind is CheckKind.LIMIT
    return kept and excess_s <= LAG_SHARE * check.limit and not any(doubt.hides for doubt in doubts)


def _least_s(check: Check) -> float:
    """What the server's time is at least, as far as chance goes."""
    if check.kind is CheckKind.LIMIT:
        return check.observed or 0.0  # which decides at the last look
    return (check.low or 0.0) * (check.baseline or 0.0)


def _limit_s(check: Check) -> float:
    """What it is allowed to be; of a comparison the limit is a ratio."""
    assert check.limit is not None
    return check.limit if check.kind is CheckKind.LIMIT else check.limit * (check.baseline or 0.0)
