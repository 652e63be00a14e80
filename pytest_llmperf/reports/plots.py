"""What a page needs to draw a scenario: few enough points, and none of them made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_llmperf.core.column import Column
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.timeline import Timeline
from pytest_llmperf.core.verdict import CheckKind
from pytest_llmperf.reports.summary import percentile

_STEPS = 400  #: of the distribution of the latency
_FEWER_STEPS = 100  #: of the other ones
_STRETCHES = 300  #: of the time line of a load profile
POINTS = 1000  #: of a time line
#: The metrics with a plot of their distribution, and those that are drawn over time.
DISTRIBUTIONS = {"latency": "latency", "ttft": "time to first token", "itl": "time between tokens"}
#: How many points each may take; the pauses between tokens are a line at the bottom.
_LINES = {"latency": POINTS, "ttft": POINTS, "itl": POINTS // 4}
_MARKED = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def plot_data(scenario: Scenario) -> dict[str, object]:
    """The scenario's plots as plain data, every time in milliseconds."""
    measured = scenario.measurement
    lines = [(name, thinned(measured.series.get(f"{name}_s", ()), most)) for name, most in _LINES.items()]
    warm = measured.warmup_latency_s
    before = [("warm-up", [(index - len(warm), value) for index, value in enumerate(warm)])]
    return {
        "distributions": {
            name: _distribution(scenario, name, steps=_STEPS if name == "latency" else _FEWER_STEPS)
            for name in DISTRIBUTIONS
            if measured.series.get(f"{name}_s")
        },
        "lines": [
            {"label": name, "x": [index + 1 for index, _ in line], "y": [_ms(value) for _, value in line]}
            for name, line in (*lines, *before)
            if line
        ],
        "load": None if measured.load is None else _load(measured.load.timeline),
    }


def _load(line: Timeline) -> dict[str, object]:
    """The run second by second; of many seconds the worst of each stretch, and rates as their mean."""
    steps = len(line.users)
    count = min(steps, _STRETCHES)
    stretches = [slice(index * steps // count, (index + 1) * steps // count) for index in range(count)]

    def rate(values: Sequence[int]) -> list[float | None]:
        rates: list[float | None] = [
            round(sum(values[one]) / (len(values[one]) * line.step_s), 3) for one in stretches
        ]
        # The last step is not a whole one: what came in it is no rate.
        return [*rates[:-1], None] if 1 < count == steps else rates

    def most(values: Sequence[float | None]) -> list[float | None]:
        return [max((value for value in values[one] if value is not None), default=None) for one in stretches]

    waits = [[value for value in line.p95_s[one] if value is not None] for one in stretches]
    return {
        "x": [round(one.stop * line.step_s, 3) for one in stretches],
        "users": [max(line.users[one]) for one in stretches],
        "queued": [max(line.queued[one], default=0) for one in stretches],
        "server_running": most(line.server_running),
        "server_waiting": most(line.server_waiting),
        "requests": rate(line.finished),
        "failed": rate(line.failed),
        "p95": [_ms(max(values)) if values else None for values in waits],
    }


def _distribution(scenario: Scenario, metric: str, *, steps: int) -> dict[str, object]:
    values = scenario.measurement.series[f"{metric}_s"]
    origin, before = earlier(scenario, f"{metric}_s")
    return {
        "now": [_ms(value) for value in ranked(values, steps)],
        "before": [_ms(value) for value in ranked(before, steps)],
        "origin": plain(origin),
        "marks": [{"label": name, "x": _ms(percentile(values, q) or 0.0)} for name, q in _MARKED.items()],
        "limits": [
            {"label": f"limit {check.label}", "x": _ms(check.limit)}
            for check in scenario.verdict.checks
            if check.kind is CheckKind.LIMIT and check.metric == metric and check.limit is not None
        ],
    }


def earlier(scenario: Scenario, series: str) -> tuple[str, Sequence[float]]:
    """Where the values come from that this scenario was held against, and all of them."""
    parts = [(run.origin, values) for run in scenario.compared_with if (values := run.series.get(series))]
    if not parts:
        return "", ()
    newest, others = parts[-1][0], len(parts) - 1
    origin = f"{newest} and {others} more run{'s' * (others > 1)}" if others else newest
    return origin, Column(value for _, values in parts for value in values)


def ranked(values: Sequence[float], most: int) -> list[float]:
    """At most *most* of the sorted *values*, equally far apart in rank and ending with the largest.

    The share of values at or below the i-th of m is i / m.
    """
    ordered = sorted(values)
    n, m = len(ordered), min(len(ordered), most)
    return [ordered[math.ceil((index + 1) * n / m) - 1] for index in range(m)]


def thinned(values: Sequence[float], most: int = POINTS) -> list[tuple[int, float]]:
    """At most *most* of *values* with their places: the lowest and the highest of every stretch."""
    if len(values) <= most:
        return list(enumerate(values))
    stretches = most // 2
    kept = set()
    for index in range(stretches):
        places = range(index * len(values) // stretches, (index + 1) * len(values) // stretches)
        kept |= {min(places, key=values.__getitem__), max(places, key=values.__getitem__)}
    return [(place, values[place]) for place in sorted(kept)]


def _ms(seconds: float) -> float:
    """Milliseconds with four significant digits, which is finer than a screen."""
    return float(f"{seconds * 1000:.4g}")
