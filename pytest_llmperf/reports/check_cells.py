"""A check as the cells of a table, the same in every format."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_llmperf.core.quantity import show, show_range, show_ratio
from pytest_llmperf.core.verdict import Check, CheckKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCells:
    """What was observed and what it was held against; the interval stands with what was decided upon."""

    now: str  #: ``212 ms (188-240 ms)``
    limit: str  #: ``150 ms``, or ``x1.10`` of the baseline
    baseline: str
    ratio: str  #: ``x1.50 (1.32-1.71)``


def cells(check: Check) -> CheckCells:
    """*check*; "-" for what it has not."""
    interval = "" if check.low is None else f" ({_interval(check)})"
    now, baseline = show(check.observed, check.unit), show(check.baseline, check.unit)
    ratio = "-" if check.ratio is None else show_ratio(check.ratio)
    if check.kind is CheckKind.REGRESSION:
        limit = "-" if check.limit is None else show_ratio(check.limit)
        return CheckCells(now=now, limit=limit, baseline=baseline, ratio=ratio + interval)
    return CheckCells(now=now + interval, limit=show(check.limit, check.unit), baseline=baseline, ratio=ratio)


def _interval(check: Check) -> str:
    high = math.inf if check.high is None else check.high
    if check.kind is CheckKind.LIMIT:
        return show_range(check.low, high, check.unit)
    return f"{check.low:.2f}-{'∞' if math.isinf(high) else f'{high:.2f}'}"
