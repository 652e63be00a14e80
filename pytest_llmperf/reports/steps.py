"""The timed steps of a scenario, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.metric import STEP, series_name
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.reports.summary import Summary, percentile


def sentences(rows: Sequence[Summary]) -> list[str]:
    """``test_jobs  steps: submit p50 3.1 ms, p95 4.8 ms, n=30; job p50 52 ms, p95 61 ms, n=29, 1 failed``."""
    told = [(row.name, _told(row.scenario.measurement)) for row in rows]
    return [plain(f"{name}  steps: {'; '.join(steps)}") for name, steps in told if steps]


def _told(about: Measurement) -> list[str]:
    steps = []
    for metric, count in about.proportions.items():
        if metric.startswith(STEP):
            values = about.series.get(series_name(metric), ())
            steps.append(f"{metric.removeprefix(STEP)} {_numbers(values, count)}")
    return steps


def _numbers(values: Sequence[float], count: Count) -> str:
    p50, p95 = (show(percentile(values, q), "s") for q in (0.5, 0.95))
    failed = count.trials - count.successes
    return f"p50 {p50}, p95 {p95}, n={len(values)}" + (f", {failed} failed" if failed else "")
