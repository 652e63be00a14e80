"""What a page needs to draw a scenario: few enough points, and none of them made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.verdict import CheckKind
from pytest_llmperf.reports.summary import compared_with, percentile

_STEPS = 400  #: of a distribution
_POINTS = 1000  #: of a time line
_MARKED = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def plot_data(scenario: Scenario) -> dict[str, object]:
    """The scenario's plots as plain data, every time in milliseconds."""
    series = scenario.measurement.series
    latency = series.get("latency_s", ())
    origin, before = earlier(scenario, "latency_s")
    return {
        "now": [_ms(value) for value in steps(latency)],
        "before": [_ms(value) for value in steps(before)],
        "origin": origin,
        "marks": [
            {"label": name, "x": _ms(value)}
            for name, q in _MARKED.items()
            if (value := percentile(latency, q)) is not None
        ],
        "limits": [
            {"label": f"limit {check.label}", "x": _ms(check.limit)}
            for check in scenario.verdict.checks
            if check.kind is CheckKind.LIMIT and check.metric == "latency" and check.limit is not None
        ],
        "lines": [
            {"label": name, "x": [index + 1 for index, _ in line], "y": [_ms(value) for _, value in line]}
            for name, metric in METRICS.items()
            if metric.shape is Shape.TIME
            and name in {"latency", "ttft"}
            and (line := thinned(series.get(f"{name}_s", ())))
        ],
    }


def earlier(scenario: Scenario, series: str) -> tuple[str, tuple[float, ...]]:
    """Where the values come from that this scenario was held against, and all of them."""
    parts = [(origin, values) for origin, run in compared_with(scenario) if (values := run.get(series))]
    if not parts:
        return "", ()
    newest, others = parts[-1][0], len(parts) - 1
    origin = f"{newest} and {others} more run{'s' * (others > 1)}" if others else newest
    return origin, tuple(value for _, values in parts for value in values)


def steps(values: Sequence[float]) -> list[float]:
    """At most 400 of the sorted *values*, equally far apart in rank and ending with the largest.

    The share of values at or below the i-th of m is i / m.
    """
    ordered = sorted(values)
    n, m = len(ordered), min(len(ordered), _STEPS)
    return [ordered[math.ceil((index + 1) * n / m) - 1] for index in range(m)]


def thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """At most 1000 of *values* with their places: the lowest and the highest of every stretch."""
    if len(values) <= _POINTS:
        return list(enumerate(values))
    stretches = _POINTS // 2
    kept = set()
    for index in range(stretches):
        places = range(index * len(values) // stretches, (index + 1) * len(values) // stretches)
        kept |= {min(places, key=values.__getitem__), max(places, key=values.__getitem__)}
    return [(place, values[place]) for place in sorted(kept)]


def _ms(seconds: float) -> float:
    """Milliseconds with four significant digits, which is finer than a screen."""
    return float(f"{seconds * 1000:.4g}")
