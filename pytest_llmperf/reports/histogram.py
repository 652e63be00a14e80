"""Distributions as one line of text each, for ``--llm-histogram``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports.summary import Summary, summarise
from pytest_llmperf.reports.width import columns, shorten

_BARS = " ▁▂▃▄▅▆▇█"
_NAME_WIDTH = 30


def render(run: Run, *, width: int) -> list[str]:
    """A line per scenario with requests, at most *width* columns: ``test_chat  84 ms ▁▃█▅▂▁▁ ▁ 141 ms``.

    The bars reach from the smallest latency to the largest, on a logarithmic scale where the
    largest is more than ten times the smallest; an empty place is a gap in the distribution. A place that
    holds any value at all shows at least the lowest bar.
    """
    rows = [row for row in summarise(run) if row.scenario.measurement.series.get("latency_s")]
    if not rows:
        return []
    names = [shorten(plain(row.name), _NAME_WIDTH) for row in rows]
    name_width = max(map(columns, names))
    places = max(10, min(60, width - name_width - 24))
    return [_line(row, name, name_width, places) for row, name in zip(rows, names, strict=True)]


def _line(row: Summary, name: str, name_width: int, places: int) -> str:
    values = row.scenario.measurement.series["latency_s"]
    padded = name + " " * (name_width - columns(name))
    low, high = show(min(values), "s"), show(max(values), "s")
    return f"{padded}  {low:>8} {bars(values, places)} {high}"


def bars(values: Sequence[float], places: int) -> str:
    """How many of *values* (at least one) lie in each of *places* stretches of their range."""
    low, high = (max(end, 1e-9) for end in (min(values), max(values)))
    if low == high:
        return _BARS[-1]
    scale = math.log if high > 10 * low else float
    start, reach = scale(low), scale(high) - scale(low)
    counts = [0] * places
    for value in values:
        counts[min(places - 1, int(places * (scale(max(value, low)) - start) / reach))] += 1
    most = max(counts)
    return "".join(_BARS[math.ceil(count / most * (len(_BARS) - 1))] for count in counts)
