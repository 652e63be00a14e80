"""Everything that was measured of one scenario, as plain numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import chain, pairwise
from typing import TypeVar

from pytest_llmperf.core.cache import CacheUse, cache_use
from pytest_llmperf.core.column import Column, Series
from pytest_llmperf.core.connections import Connections
from pytest_llmperf.core.exchange import Exchange, TokenSource
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.load_report import LoadReport, pool_loads
from pytest_llmperf.core.metric import METRICS, Shape, series_name
from pytest_llmperf.core.parts import PARTS
from pytest_llmperf.core.price import Price, costs, union_s
from pytest_llmperf.core.resources import Resources, pool_resources
from pytest_llmperf.core.server_view import ServerView, pooled, told_by
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.steps import as_requests, excused, outermost, step_answers, step_series

#: Latencies of the warm-up that are kept.
WARMUP_KEPT = 100
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Yes out of yes and no."""

    successes: int = 0
    trials: int = 0

    @property
    def rate(self) -> float:
        """Share of successes; NaN without a trial."""
        return self.successes / self.trials if self.trials else float("nan")

    def __add__(self, other: Count) -> Count:
        return Count(successes=self.successes + other.successes, trials=self.trials + other.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """Failed requests of one kind, with one example."""

    kind: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCount:
    """Results of one named check under one label."""

    name: str
    label: str | None
    count: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTotals:
    """Tokens of the successful requests together."""

    input: int = 0
    output: int = 0
    cached: int | None = None  #: None when no server said
    reasoning: int | None = None
    sources: tuple[TokenSource, ...] = ()  #: who counted

    def __add__(self, other: TokenTotals) -> TokenTotals:
        return TokenTotals(
            input=self.input + other.input,
            output=self.output + other.output,
            cached=_sum_known([self.cached, other.cached]),
            reasoning=_sum_known([self.reasoning, other.reasoning]),
            sources=tuple(dict.fromkeys((*self.sources, *other.sources))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured of one scenario, warm-up left out.

    *series* holds the values of successful requests (``task_s``: of iterations that passed) in time
    order, by the name that run.json uses, such as ``latency_s``.
    """

    scenario: str  #: the test's node id, or the pooled scenario's name
    name: str  #: short, for tables
    path: str = ""  #: of the test's file, relative to the root directory
    line: int = 0  #: of the test, from 1
    backend: str = ""
    model: str = ""
    setup: str = ""  #: its label, where the session compares several
    timed: bool = False  #: no model was asked: the outermost timed steps are the requests
    steps: tuple[str, ...] = ()  #: names of the outermost timed steps
    #: Failures of a step that its requests count already, by metric; only an explicit limit counts them too.
    excused: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)  #: must match a baseline's
    iterations: int = 0
    warmup: int = 0
    #: Latencies of the last requests of the warm-up, for plots; nothing is judged by them.
    warmup_latency_s: tuple[float, ...] = ()
    series: Series = field(default_factory=dict)
    proportions: Mapping[str, Count] = field(default_factory=dict)
    #: Replies that failed an iteration by not being JSON: counted by pass_rate, shown by json_valid.
    json_failed: int = 0
    checks: tuple[CheckCount, ...] = ()
    sent: int = 0
    failed: int = 0
    failures: tuple[FailureCount, ...] = ()
    tokens: TokenTotals = TokenTotals()
    characters: int = 0  #: of the text of the successful replies
    #: Chunks that arrived in the same read as the one before, of all that follow another one.
    same_read: Count = field(default_factory=Count)
    cache: CacheUse = field(default_factory=CacheUse)
    connections: Connections = field(default_factory=Connections)
    server: ServerView | None = None  #: what the server says; None when it says nothing
    busy_s: float = 0.0  #: time during which at least one request was in flight
    wall_s: float = 0.0  #: time from the first iteration's start to the last one's end
    resources: Resources = field(default_factory=Resources)  #: what server and machine used meanwhile
    load: LoadReport | None = None  #: how a load profile was carried out; None without one
    spent_usd: float | None = None  #: for all its requests, also unmeasured ones; None without a price
    over_budget: bool = False  #: whether max_cost_usd ended it
    stopped: str = ""  #: why measuring ended, when it was not the number of iterations
    warnings: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The scenario without its set-up: what is compared over all of them."""
        return without_setup(self.scenario, self.setup)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why times and rates may be the load generator's own and not the server's."""
        if self.load is None:
            return ()
        names = [name for name in ("ttft_s", "latency_s", "task_s") if self.series.get(name)]
        values = sorted(self.series[names[0]]) if names else []
        return tuple(self.load.doubts(values[len(values) // 2] if values else None))

    @property
    def throughput(self) -> dict[str, float]:
        """The values of the metrics that have one value per scenario."""
        values = {}
        if self.busy_s and self.tokens.output:
            values["tokens_per_s"] = self.tokens.output / self.busy_s
        if self.wall_s:
            values["requests_per_s"] = (self.sent - self.failed) / self.wall_s
        if self.tokens.cached is not None and self.tokens.input:
            values["cache_hit_rate"] = self.tokens.cached / self.tokens.input
        return values


def without_setup(name: str, setup: str) -> str:
    """*name* of a test or scenario without the label of its set-up: ``test_x`` for ``test_x[3B]``."""
    if not setup:
        return name
    alone = name.removesuffix(f"[{setup}]")
    other = name.removesuffix(f"-{setup}]")  # behind the parameters of the test itself
    return alone if alone != name or other == name else f"{other}]"


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


def pool(parts: Sequence[Measurement]) -> Measurement:
    """One measurement of a scenario whose items ran apart, in the order of *parts*."""
    first = parts[0]
    proportions: dict[str, Count] = {}
    checks: dict[tuple[str, str | None], Count] = {}
    kinds: dict[str, FailureCount] = {}
    facts: dict[str, list[str]] = {}
    busy_s, wall_s = sum(part.busy_s for part in parts), sum(part.wall_s for part in parts)
    if all(part.load is not None and part.load.mixed for part in parts):
        # They ran at the same time; how much their times in flight overlap is not known any more.
        wall_s = max(part.wall_s for part in parts)
        busy_s = min(busy_s, wall_s)
    for part in parts:
        for name, word in part.facts.items():
            facts.setdefault(name, []).append(word)
        for name, count in part.proportions.items():
            proportions[name] = proportions.get(name, Count()) + count
        for check in part.checks:
            key = (check.name, check.label)
            checks[key] = checks.get(key, Count()) + check.count
        for failure in part.failures:
            known = kinds.get(failure.kind, replace(failure, count=0))
            kinds[failure.kind] = replace(known, count=known.count + failure.count)
    return replace(
        first,
        facts={name: _items(words) if name == "items" else _agreed(words) for name, words in facts.items()},
        timed=all(part.timed for part in parts),
        steps=tuple(dict.fromkeys(name for part in parts for name in part.steps)),
        excused=dict(sum((Counter(part.excused) for part in parts), Counter())),
        iterations=sum(part.iterations for part in parts),
        warmup_latency_s=tuple(value for part in parts for value in part.warmup_latency_s)[-WARMUP_KEPT:],
        series=_side_by_side([part.series for part in parts]),
        proportions=proportions,
        json_failed=sum(part.json_failed for part in parts),
        checks=tuple(
            CheckCount(name=name, label=label, count=count) for (name, label), count in checks.items()
        ),
        sent=sum(part.sent for part in parts),
        failed=sum(part.failed for part in parts),
        failures=tuple(kinds.values()),
        tokens=sum((part.tokens for part in parts), TokenTotals()),
        characters=sum(part.characters for part in parts),
        same_read=sum((part.same_read for part in parts), Count()),
        cache=sum((part.cache for part in parts), CacheUse()),
        connections=sum((part.connections for part in parts), Connections()),
        server=reduce(pooled, (part.server for part in parts)),
        busy_s=busy_s,
        wall_s=wall_s,
        resources=pool_resources([part.resources for part in parts]),
        load=pool_loads([part.load for part in parts if part.load is not None]),
        spent_usd=_sum_known([part.spent_usd for part in parts]),
        over_budget=any(part.over_budget for part in parts),
        stopped="; ".join(dict.fromkeys(part.stopped for part in parts if part.stopped)),
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
    )


def _side_by_side(parts: Sequence[Series]) -> dict[str, Column]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: Column(chain.from_iterable(part.get(name, ()) for part in parts)) for name in names}


def _facts(exchanges: Sequence[Exchange]) -> dict[str, str]:
    """What only the requests themselves can tell."""
    if not exchanges:
        return {}
    return {"streaming": _agreed(["on" if exchange.streamed else "off" for exchange in exchanges])}


def _items(words: Sequence[str]) -> str:
    """Which items a pool is made of, such as ``4 (9f86d081)``: half of them measure something else."""
    names = sorted(set(words))
    return f"{len(names)} ({hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:8]})"


def _agreed(words: Sequence[str]) -> str:
    return words[0] if len(set(words)) == 1 else "mixed"


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
    proportions = {
        "success_rate": _count([exchange.failure is None for exchange in exchanges]),
        "pass_rate": _count(passed),
        "json_valid": _count(asked),
        "goodput": _count([_good(exchange, slo) for exchange in exchanges])
        if slo.limit("goodput", "rate")
        else Count(),
    }
    steps = {name: _count(answers) for name, answers in step_answers(iterations).items()}
    return {name: count for name, count in {**proportions, **steps}.items() if count.trials}


def _count(answers: Sequence[bool]) -> Count:
    return Count(successes=sum(answers), trials=len(answers))


def _good(exchange: Exchange, slo: Slo) -> bool:
    """Whether a request meets every time limit; of several percentiles the loosest bounds a request."""
    if exchange.failure is not None:
        return False
    bounds: dict[str, float] = {}
    for limit in slo.limits:
        if METRICS[limit.metric].shape is Shape.TIME and METRICS[limit.metric].of is not None:
            bounds[limit.metric] = max(limit.bound, bounds.get(limit.metric, 0.0))
    values = {name: of(exchange) for name in bounds if (of := METRICS[name].of) is not None}
    return all(value is None or value <= bounds[name] for name, value in values.items())


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
        cached=_sum_known([tokens.cached for tokens in counted]),
        reasoning=_sum_known([tokens.reasoning for tokens in counted]),
        sources=tuple(dict.fromkeys(tokens.source for tokens in counted)),
    )


def _sum_known(values: Sequence[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
