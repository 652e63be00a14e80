"""How far beyond what is allowed a value lies: the severity of an alert, and who is the worst offender."""

from __future__ import annotations

import math

from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.verdict import Check, CheckKind


def threshold_of(check: Check) -> float | None:
    """What *check* was held against, in the unit of what was observed; None where there is no such value."""
    if check.kind is CheckKind.LIMIT or check.baseline is None or check.limit is None:
        return check.limit if check.kind is CheckKind.LIMIT else None
    return check.baseline if _is_share(check) else check.baseline * check.limit


def excess(check: Check) -> float:
    """How many times its threshold the value is; for a share, of the failures.

    Infinite where nothing could be measured.
    """
    threshold = threshold_of(check)
    if check.observed is None or threshold is None:
        return math.inf
    if _is_share(check):
        return _quotient(1 - check.observed, 1 - threshold)
    metric = METRICS.get(check.metric)
    if metric is not None and metric.higher_is_better:
        return _quotient(threshold, check.observed)
    return _quotient(check.observed, threshold)


def _is_share(check: Check) -> bool:
    metric = METRICS.get(check.metric)  # accuracy:NAME is none of them
    return check.unit == "" if metric is None else metric.shape is Shape.PROPORTION


def _quotient(value: float, by: float) -> float:
    return round(value / by, 9) if by > 0 else math.inf  # 0.12 / (1 - 0.9) is meant to be 1.2
