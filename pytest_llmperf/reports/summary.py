"""The numbers of one scenario that every table shows, worked out once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.quantile import quantile
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.verdict import Check, CheckKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One row. None where a number does not exist."""

    name: str  #: unique in its run
    scenario: Scenario
    outcome: Outcome
    n: int  #: successful requests; iterations where no request was made
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    ttft_p95_s: float | None
    tokens_per_s: float | None
    json_valid: float | None  #: share, 0..1
    success_rate: float | None  #: share of requests, 0..1
    cost_usd: float | None  #: of a request, on average
    ratio: float | None  #: to the baseline, of the value that `compared` is about
    compared: Check | None  #: the comparison with the baseline that decided


def summarise(run: Run) -> list[Summary]:
    """One row per scenario, in the run's order."""
    names = unique_names(run.scenarios)
    return [summary(scenario, name) for scenario, name in zip(run.scenarios, names, strict=True)]


def unique_names(scenarios: Sequence[Scenario]) -> list[str]:
    """Short names; where two scenarios share one, their ids, and then the model too."""
    short = Counter(scenario.measurement.name for scenario in scenarios)
    ids = Counter(scenario.measurement.scenario for scenario in scenarios)
    names = []
    for scenario in scenarios:
        about = scenario.measurement
        if short[about.name] == 1:
            names.append(about.name)
        elif ids[about.scenario] == 1:
            names.append(about.scenario)
        else:
            names.append(f"{about.scenario} ({about.backend} {about.model})")
    return names


def percentile(values: Sequence[float], q: float) -> float | None:
    """The ordinary *q* quantile (0 < q < 1) of *values*, None when there are none."""
    return quantile(values, q) if values else None


def comparison(checks: Sequence[Check]) -> Check | None:
    """The check that says how this run stands against the baseline.

    p95 of the latency, unless another comparison came out worse.
    """
    compared = [check for check in checks if check.kind is CheckKind.REGRESSION and check.ratio is not None]
    return max(compared, key=_weight, default=None)


def finite(value: float | None) -> float | None:
    """*value*, None when it is no number."""
    return value if value is not None and math.isfinite(value) else None


def _weight(check: Check) -> tuple[int, bool, bool]:
    bad = check.outcome.severity if check.outcome.severity > Outcome.NOT_COMPARABLE.severity else 0
    return bad, (check.metric, check.statistic) == ("latency", "p95"), check.unit == "s"


def summary(scenario: Scenario, name: str) -> Summary:
    """The row of one *scenario*, under *name*."""
    measured = scenario.measurement
    latencies = measured.series.get("latency_s", ())
    rates = {rate: finite(count.rate) for rate, count in measured.proportions.items()}
    costs = measured.series.get("cost_usd", ())
    compared = comparison(scenario.verdict.checks)
    return Summary(
        name=name,
        scenario=scenario,
        outcome=scenario.verdict.outcome,
        n=len(latencies) if measured.sent else measured.iterations,
        p50_s=percentile(latencies, 0.5),
        p95_s=percentile(latencies, 0.95),
        p99_s=percentile(latencies, 0.99),
        ttft_p95_s=percentile(measured.series.get("ttft_s", ()), 0.95),
        tokens_per_s=measured.throughput.get("tokens_per_s"),
        json_valid=rates.get("json_valid"),
        success_rate=rates.get("success_rate"),
        cost_usd=sum(costs) / len(costs) if costs else None,
        ratio=finite(compared.ratio) if compared else None,
        compared=compared,
    )
