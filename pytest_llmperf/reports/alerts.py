"""Alerts: a line of JSON for every broken promise, to be appended to a log that something watches."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Run
from pytest_llmperf.core.verdict import Check
from pytest_llmperf.reports.excess import excess, threshold_of
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
    threshold = threshold_of(check)
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
        "severity": "warning" if excess(check) <= _WARNING_UP_TO else "critical",
        "reason": plain(check.reason),
    }


def _scaled(value: float | None, scale: float) -> float | None:
    value = finite(value)
    return None if value is None else round(value * scale, 6)
