"""Bencher Metric Format, for ``bencher run --adapter json``.

https://bencher.dev/docs/reference/bencher-metric-format
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_llmperf.core.run import Run
from pytest_llmperf.core.verdict import CheckKind
from pytest_llmperf.reports.summary import Summary, finite, summarise

_LONGEST = 1024  #: characters of a benchmark's name


def render(run: Run) -> str:
    """*run* as a benchmark per scenario: Bencher's own ``latency`` is p95, the others are named."""
    document = {row.name[:_LONGEST]: dict(_measures(row)) for row in summarise(run)}
    return json.dumps({name: measures for name, measures in document.items() if measures}, indent=1) + "\n"


def _measures(row: Summary) -> Iterator[tuple[str, dict[str, float]]]:
    if row.p95_s is not None:
        yield "latency", {"value": _ns(row.p95_s), **_interval(row, "p95")}
    if row.p50_s is not None:
        yield "latency-p50", {"value": _ns(row.p50_s)}
    if row.ttft_p95_s is not None:
        yield "ttft-p95", {"value": _ns(row.ttft_p95_s), **_interval(row, "ttft p95")}
    if row.tokens_per_s is not None:
        yield "throughput", {"value": row.tokens_per_s}
    if row.success_rate is not None:
        yield "success-rate", {"value": row.success_rate}
    if row.json_valid is not None:
        yield "json-valid", {"value": row.json_valid}
    if row.cost_usd is not None:
        yield "cost-usd", {"value": row.cost_usd}


def _interval(row: Summary, label: str) -> dict[str, float]:
    for check in row.scenario.verdict.checks:
        if check.kind is CheckKind.LIMIT and check.label == label:
            ends = {"lower_value": finite(check.low), "upper_value": finite(check.high)}
            return {name: _ns(end) for name, end in ends.items() if end is not None}
    return {}


def _ns(seconds: float) -> float:
    """In nanoseconds, Bencher's unit of latency."""
    return round(seconds * 1e9, 1)
