"""Alerts: a line of JSON for every broken promise, to be appended to a log that something watches."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.run import Run
from pytest_llmperf.core.verdict import Check, CheckKind
from pytest_llmperf.reports.plain import plain
from pytest_llmperf.reports.summary import finite

#: How far beyond its threshold a value may be before the alert is critical.
_WARNING_UP_TO = 1.2


def render(run: Run) -> str:
    """A line per broken or regressed check and per problem of *run*; empty when there are none.

    Times are in milliseconds. ``severity`` is ``warning`` up to 1.2 times the threshold and
    ``critical`` above, and where nothing could be measured; a share is held by its failures.
    """
    return "".join(f"{json.dumps(alert, ensure_ascii=False)}\n" for alert in _alerts(run))


def _alerts(run: Run) -> Iterator[dict[str, object]]:
    origin: dict[str, object] = {"time": run.started, "commit": run.environment.get("commit")}
    for scenario in run.scenarios:
        broken = scenario.verdict.broken
        yield from (origin | _alert(scenario.measurement, check) for check in broken)
    for problem in run.problems:
        yield origin | {"component": None, "severity": "critical", "reason": plain(problem)}


def _alert(about: Measurement, check: Check) -> dict[str, object]:
    scale, unit = (1000.0, "ms") if check.unit == "s" else (1.0, check.unit)
    threshold = _threshold(check)
    return {
        "component": plain(about.name),
        "scenario": plain(about.scenario),
        "backend": plain(about.backend),
        "model": plain(about.model),
        "kind": check.kind.value,
        "metric": check.label,
        "observed": _scaled(check.observed, scale),
        "threshold": _scaled(threshold, scale),
        "unit": unit,
        "baseline": _scaled(check.baseline, scale),
        "severity": "warning" if _excess(check, threshold) <= _WARNING_UP_TO else "critical",
        "reason": plain(check.reason),
    }


def _threshold(check: Check) -> float | None:
    """In the unit of what was observed."""
    if check.kind is CheckKind.LIMIT or check.baseline is None or check.limit is None:
        return check.limit if check.kind is CheckKind.LIMIT else None
    return check.baseline if _is_share(check) else check.baseline * check.limit


def _excess(check: Check, threshold: float | None) -> float:
    """How many times its threshold the value is; for a share, of the failures."""
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
    return value / by if by > 0 else math.inf


def _scaled(value: float | None, scale: float) -> float | None:
    value = finite(value)
    return None if value is None else round(value * scale, 6)
