"""What pytest's own --junitxml says about a scenario: properties of its test case."""

from __future__ import annotations

from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.reports.summary import finite, summary


def properties(scenario: Scenario) -> list[tuple[str, str]]:
    """Names and values for ``item.user_properties``, numbers in the unit that the name ends with."""
    row, measured = summary(scenario, scenario.measurement.name), scenario.measurement
    numbers = {
        "n": row.n,
        "p50_ms": _ms(row.p50_s),
        "p95_ms": _ms(row.p95_s),
        "p99_ms": _ms(row.p99_s),
        "ttft_p95_ms": _ms(row.ttft_p95_s),
        "tokens_per_s": row.tokens_per_s,
        "json_valid": row.json_valid,
        "success_rate": row.success_rate,
        "cost_usd": row.cost_usd,
        "baseline_ratio": row.ratio,
    }
    texts = {
        "outcome": row.outcome.value,
        "reason": plain(scenario.verdict.reason),
        "backend": plain(measured.backend),
        "model": plain(measured.model),
    }
    known = {name: f"{value:.6g}" for name, value in numbers.items() if finite(value) is not None}
    return [(f"llmperf.{name}", value) for name, value in {**texts, **known}.items()]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
