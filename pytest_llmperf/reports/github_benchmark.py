"""github-action-benchmark's custom JSON (https://github.com/benchmark-action/github-action-benchmark)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_llmperf.core.quantity import show_range
from pytest_llmperf.core.run import Run
from pytest_llmperf.core.verdict import Check, CheckKind
from pytest_llmperf.reports.summary import Summary, summarise


def render_smaller(run: Run) -> str:
    """For ``tool: customSmallerIsBetter``: times in milliseconds, and the cost of a request."""
    return _text(entry for row in summarise(run) for entry in _smaller(row))


def render_bigger(run: Run) -> str:
    """For ``tool: customBiggerIsBetter``: tokens per second and shares in per cent."""
    return _text(entry for row in summarise(run) for entry in _bigger(row))


def _smaller(row: Summary) -> Iterator[dict[str, object]]:
    values = {"p50": row.p50_s, "p95": row.p95_s, "p99": row.p99_s, "ttft p95": row.ttft_p95_s}
    for label, value in values.items():
        if value is not None:
            yield _entry(row, label, value * 1000, "ms")
    if row.cost_usd is not None:
        yield _entry(row, "cost", row.cost_usd, "USD")


def _bigger(row: Summary) -> Iterator[dict[str, object]]:
    if row.tokens_per_s is not None:
        yield _entry(row, "tokens/s", row.tokens_per_s, "tokens/s")
    if row.json_valid is not None:
        yield _entry(row, "json_valid", 100 * row.json_valid, "%")
    if row.success_rate is not None:
        yield _entry(row, "success_rate", 100 * row.success_rate, "%")


def _entry(row: Summary, label: str, value: float, unit: str) -> dict[str, object]:
    about = row.scenario.measurement
    entry: dict[str, object] = {"name": f"{row.name}: {label}", "unit": unit, "value": round(value, 9)}
    if interval := next(
        (text for check in row.scenario.verdict.checks if (text := _interval(check, label))), ""
    ):
        entry["range"] = interval
    return entry | {"extra": f"n={row.n}\n{about.backend} {about.model}\n{row.outcome.value}"}


def _interval(check: Check, label: str) -> str:
    if check.kind is not CheckKind.LIMIT or check.label != label or check.low is None or check.high is None:
        return ""
    return show_range(check.low, check.high, check.unit)


def _text(entries: Iterator[dict[str, object]]) -> str:
    return json.dumps(list(entries), indent=1) + "\n"
