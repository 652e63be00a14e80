"""CSV: a row per scenario, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.metric import METRICS, Metric, Shape, series_name
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.reports.summary import comparison, finite, percentile

#: What a spreadsheet takes for the start of a formula; the wide forms in East Asian editions.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def render(run: Run) -> str:
    """*run* as RFC 4180 text with a heading.

    The columns are the same for every run, so that files can be put together. Times are in
    seconds, shares are 0..1; what does not exist is empty. Text that a spreadsheet would take for
    a formula starts with an apostrophe.
    """
    rows = [{name: _rounded(cell) for name, cell in _cells(run, scenario)} for scenario in run.scenarios]
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _rounded(cell: object) -> object:
    """Nanoseconds, and a millionth of a thousandth dollar: more digits are noise."""
    return round(cell, 9) if isinstance(cell, float) else cell


def _value_columns() -> Iterator[str]:
    for name, metric in METRICS.items():
        if metric.shape is Shape.TIME:
            yield from (f"{name}_{statistic}_s" for statistic in _PERCENTILES)
        else:
            yield name


#: The columns, in order.
COLUMNS = (
    "started",
    "commit",
    "scenario",
    "name",
    "backend",
    "model",
    "setup",
    "outcome",
    "iterations",
    "requests",
    "failed_requests",
    *_value_columns(),
    "compared",
    "baseline",
    "ratio",
    "ratio_low",
    "ratio_high",
    "reason",
)


def _cells(run: Run, scenario: Scenario) -> Iterator[tuple[str, object]]:
    measured, verdict = scenario.measurement, scenario.verdict
    yield "started", run.started
    yield "commit", _text(run.environment.get("commit", ""))
    yield "scenario", _text(measured.scenario)
    yield "name", _text(measured.name)
    yield "backend", _text(measured.backend)
    yield "model", _text(measured.model)
    yield "setup", _text(measured.setup)
    yield "outcome", verdict.outcome.value
    yield "iterations", measured.iterations
    yield "requests", measured.sent
    yield "failed_requests", measured.failed
    yield from _values(scenario)
    if check := comparison(verdict.checks):
        yield "compared", check.label
        yield "baseline", finite(check.baseline)
        yield "ratio", finite(check.ratio)
        yield "ratio_low", finite(check.low)
        yield "ratio_high", finite(check.high)
    yield "reason", _text(verdict.reason)


def _values(scenario: Scenario) -> Iterator[tuple[str, float | None]]:
    measured = scenario.measurement
    for name, metric in METRICS.items():
        values = measured.series.get(series_name(name), ())
        if metric.shape is Shape.TIME:
            for statistic, q in _PERCENTILES.items():
                yield f"{name}_{statistic}_s", percentile(values, q)
        elif metric.shape is Shape.PROPORTION and name in measured.proportions:
            yield name, finite(measured.proportions[name].rate)
        elif metric.shape is Shape.THROUGHPUT:
            yield name, measured.throughput.get(name)
        elif metric.shape is Shape.RESOURCE:
            yield name, _used(measured, metric)
        elif values:
            yield name, _whole(max(values)) if metric.statistic == "max" else sum(values) / len(values)


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def _used(measured: Measurement, metric: Metric) -> float | None:
    usage = measured.resources.usage.get(metric.resource)
    if usage is None:
        return None
    return usage.peak if metric.statistic == "peak" else usage.mean


def _text(text: str) -> str:
    # https://owasp.org/www-community/attacks/CSV_Injection
    safe = plain(text)
    return f"'{safe}" if safe.startswith(_FORMULA) else safe
