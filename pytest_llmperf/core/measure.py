"""Iterations counted and sorted into the measurement of a scenario."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from pytest_llmperf.core.cache import cache_use
from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.known import agreed, sum_known
from pytest_llmperf.core.measurement import CheckCount, Count, FailureCount, Measurement, TokenTotals
from pytest_llmperf.core.metric import METRICS, Shape, series_name
from pytest_llmperf.core.parts import PARTS
from pytest_llmperf.core.price import Price, costs, union_s
from pytest_llmperf.core.server_view import told_by
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.steps import as_requests, excused, outermost, step_answers, step_series


def measure(
    iterations: Sequence[Iteration],
    *,
    about: Measurement,
    slo: Slo,
    prices: Mapping[str, Price] | None = None,
) -> Measurement:
    """*about* (its names and facts) filled with the numbers of *iterations*; *prices* are by model."""
    exchanges = [exchange for iteration in iterations for exchange in iteration.exchanges]
    timed = not about.backend and not exchanges and any(iteration.steps for iteration in iterations)
    facts = _facts(exchanges)
    if timed:
        exchanges = as_requests(iterations)
    succeeded = [exchange for exchange in exchanges if exchange.failure is None]
    models = dict.fromkeys(exchange.model for exchange in succeeded if exchange.model)
    model = " + ".join(models) or about.model
    return replace(
        about,
        facts={**about.facts, **facts, **({"model": model} if model else {})},
        model=model,
        iterations=len(iterations),
        timed=timed,
        steps=outermost(iterations),
        excused=excused(iterations),
        series={**_series(iterations, succeeded, prices or {}, about.model), **step_series(iterations)},
        proportions=_proportions(iterations, exchanges, slo),
        json_failed=sum(iteration.json_failed for iteration in iterations),
        checks=_checks(iterations),
        sent=len(exchanges),
        failed=len(exchanges) - len(succeeded),
        failures=_failures(exchanges),
        tokens=_tokens(succeeded),
        characters=sum(exchange.characters for exchange in succeeded),
        same_read=_same_read(succeeded),
        cache=cache_use(succeeded),
        server=told_by(succeeded),
        busy_s=union_s((exchange.due_s, exchange.done_s) for exchange in succeeded),
        wall_s=iterations[-1].done_s - iterations[0].started_s if iterations else 0.0,
    )


def _facts(exchanges: Sequence[Exchange]) -> dict[str, str]:
    """What only the requests themselves can tell."""
    if not exchanges:
        return {}
    return {"streaming": agreed(["on" if exchange.streamed else "off" for exchange in exchanges])}


def _series(
    iterations: Sequence[Iteration], succeeded: Sequence[Exchange], prices: Mapping[str, Price], model: str
) -> dict[str, tuple[float, ...]]:
    series: dict[str, tuple[float, ...]] = {}
    for name, metric in METRICS.items():
        if metric.of is not None:
            values = tuple(value for exchange in succeeded if (value := metric.of(exchange)) is not None)
            if values:
                series[series_name(name)] = values
    for name, of in PARTS.items():
        values = tuple(value for exchange in succeeded if (value := of(exchange)) is not None)
        if values:
            series[name] = values
    tasks = tuple(iteration.done_s - iteration.started_s for iteration in iterations if iteration.passed)
    if tasks:
        series["task_s"] = tasks
    priced = [(exchange, prices.get(exchange.model) or prices.get(model)) for exchange in succeeded]
    if known := costs([(exchange, price) for exchange, price in priced if price is not None]):
        series["cost_usd"] = known
    return series


def _proportions(
    iterations: Sequence[Iteration], exchanges: Sequence[Exchange], slo: Slo
) -> dict[str, Count]:
    asked = [exchange.json_valid for exchange in exchanges if exchange.json_valid is not None]
    passed = [iteration.passed for iteration in iterations if iteration.passed is not None]
    bounds = _time_limits(slo)
    proportions = {
        "success_rate": _count([exchange.failure is None for exchange in exchanges]),
        "pass_rate": _count(passed),
        "json_valid": _count(asked),
        "goodput": _count([_good(exchange, bounds) for exchange in exchanges])
        if bounds or slo.limit("goodput", "rate")
        else Count(),
    }
    steps = {name: _count(answers) for name, answers in step_answers(iterations).items()}
    return {name: count for name, count in {**proportions, **steps}.items() if count.trials}


def _count(answers: Sequence[bool]) -> Count:
    return Count(successes=sum(answers), trials=len(answers))


def _time_limits(slo: Slo) -> list[tuple[Callable[[Exchange], float | None], float]]:
    """The times of a request that *slo* limits, and how long each may be: of several limits the loosest."""
    bounds: dict[str, float] = {}
    for limit in slo.limits:
        if METRICS[limit.metric].shape is Shape.TIME:
            bounds[limit.metric] = max(limit.bound, bounds.get(limit.metric, 0.0))
    return [(of, bound) for name, bound in bounds.items() if (of := METRICS[name].of) is not None]


def _good(exchange: Exchange, bounds: Sequence[tuple[Callable[[Exchange], float | None], float]]) -> bool:
    """Whether a request succeeded within every one of *bounds*."""
    return exchange.failure is None and all(
        (value := of(exchange)) is None or value <= bound for of, bound in bounds
    )


def _checks(iterations: Sequence[Iteration]) -> tuple[CheckCount, ...]:
    results: dict[tuple[str, str | None], list[bool]] = {}
    for iteration in iterations:
        for check in iteration.checks:
            results.setdefault((check.name, check.label), []).append(check.passed)
    return tuple(
        CheckCount(name=name, label=label, count=_count(answers))
        for (name, label), answers in results.items()
    )


def _failures(exchanges: Sequence[Exchange]) -> tuple[FailureCount, ...]:
    failures = [exchange.failure for exchange in exchanges if exchange.failure is not None]
    counts = Counter(failure.kind for failure in failures)
    return tuple(
        FailureCount(
            kind=kind.value,
            count=count,
            example=next(failure.message for failure in failures if failure.kind == kind),
        )
        for kind, count in counts.most_common()
    )


def _same_read(succeeded: Sequence[Exchange]) -> Count:
    # All chunks of one read have one time stamp.
    return _count([before == after for one in succeeded for before, after in pairwise(one.chunk_s)])


def _tokens(succeeded: Sequence[Exchange]) -> TokenTotals:
    counted = [exchange.tokens for exchange in succeeded if exchange.tokens is not None]
    return TokenTotals(
        input=sum(tokens.input or 0 for tokens in counted),
        output=sum(tokens.output or 0 for tokens in counted),
        cached=sum_known([tokens.cached for tokens in counted]),
        reasoning=sum_known([tokens.reasoning for tokens in counted]),
        sources=tuple(dict.fromkeys(tokens.source for tokens in counted)),
    )
