"""Whether a scenario keeps what it promises: each limit on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_llmperf.core import gate
from pytest_llmperf.core.judged import Judged, finite
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.metric import METRICS, QUANTILES, STEP, Shape, nearest, series_name
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.quantity import show, show_apart, show_range
from pytest_llmperf.core.resources import Resources
from pytest_llmperf.core.slo import Limit, Slo
from pytest_llmperf.core.terms import Terms
from pytest_llmperf.core.verdict import Check, CheckKind

#: Held to 1.0 unless the user says otherwise.
IMPLIED = ("success_rate", "pass_rate", "json_valid")


def promised(measurement: Measurement, slo: Slo) -> list[Limit]:
    """The limits of *slo*, and those that hold unless it says otherwise."""
    implied = [
        Limit(key=name, metric=name, statistic="rate", bound=1.0)
        for name in IMPLIED
        if slo.limit(name, "rate") is None and _rate(measurement, name).trials
    ]
    return [*slo.limits, *implied]


def _rate(measurement: Measurement, name: str) -> Count:
    """How often it was so; a reply that failed its iteration is counted there, and not twice."""
    count = measurement.proportions.get(name, Count())
    if name != "json_valid":
        return count
    return Count(successes=count.successes, trials=count.trials - measurement.json_failed)


def judge_limit(measurement: Measurement, limit: Limit, terms: Terms) -> Judged:
    """Whether *limit* holds."""
    promise = _Promise.of(limit)
    shape = METRICS[limit.metric].shape
    if shape is Shape.PROPORTION:
        return _judge_rate(measurement, promise, _rate(measurement, limit.metric), terms)
    if shape is Shape.THROUGHPUT:
        n = measurement.sent - measurement.failed
        return _judge_point(measurement, promise, measurement.throughput.get(limit.metric), n)
    if shape is Shape.RESOURCE:
        return _judge_resource(measurement.resources, promise)
    values = measurement.series.get(series_name(limit.metric), ())
    if values and limit.statistic in QUANTILES:
        return _judge_quantile(promise, values, terms)
    summary = np.max if limit.statistic == "max" else np.mean
    return _judge_point(measurement, promise, float(summary(values)) if values else None, len(values))


def judge_accuracy(measurement: Measurement, name: str, share: float, terms: Terms) -> Judged:
    """Whether the named check *name* passed often enough, all labels together."""
    promise = _Promise(metric=f"accuracy:{name}", statistic="rate", unit="", bound=share)
    count = sum((check.count for check in measurement.checks if check.name == name), Count())
    return _judge_rate(measurement, promise, count, terms)


def promised_of_steps(measurement: Measurement, slo: Slo) -> list[tuple[str, Limit]]:
    """The limits on timed steps by their metric, with those that hold unless *slo* says otherwise.

    An outermost step always succeeds, but for what its requests count already; where the steps are the
    requests, success_rate says so.
    """
    given = [(STEP + name, limit) for name, limits in slo.steps for limit in limits]
    said = {metric for metric, limit in given if limit.metric == "success_rate"}
    names = () if measurement.timed else measurement.steps
    own = [STEP + name for name in names if STEP + name not in said]
    return [*given, *((metric, _SURE) for metric in own if _unexcused(measurement, metric).trials)]


#: Of an outermost step, unless the user says otherwise.
_SURE = Limit(key="success_rate", metric="success_rate", statistic="rate", bound=1.0)


def _unexcused(measurement: Measurement, metric: str) -> Count:
    """How often a step succeeded, where its requests did."""
    count = measurement.proportions.get(metric, Count())
    return Count(successes=count.successes, trials=count.trials - measurement.excused.get(metric, 0))


def judge_step(measurement: Measurement, metric: str, limit: Limit, terms: Terms) -> Judged:
    """Whether a timed step, *metric*, keeps *limit*."""
    if limit.metric == "success_rate":
        promise = _Promise(metric=metric, statistic="success_rate", unit="", bound=limit.bound)
        count = measurement.proportions.get(metric, Count())
        if limit is _SURE:
            count = _unexcused(measurement, metric)
        if not count.trials:
            return _unmeasured_step(measurement, promise)
        return _judge_rate(measurement, promise, count, terms)
    promise = _Promise(metric=metric, statistic=limit.statistic, unit="s", bound=limit.bound)
    values = measurement.series.get(series_name(metric), ())
    if not values:
        return _unmeasured_step(measurement, promise)
    if limit.statistic in QUANTILES:
        return _judge_quantile(promise, values, terms)
    summary = np.max if limit.statistic == "max" else np.mean
    return _judge_point(measurement, promise, float(summary(values)), len(values))


def _unmeasured_step(measurement: Measurement, promise: _Promise) -> Judged:
    name = promise.metric.removeprefix(STEP)
    check = promise.check(Outcome.FAILED, None, 0)
    if promise.metric in measurement.proportions:
        reason = f"{check.label} was not measured: the step never succeeded"
        return Judged(check=replace(check, reason=reason), excusable=True)
    ran = [metric.removeprefix(STEP) for metric in measurement.proportions if metric.startswith(STEP)]
    reason = f"{check.label} was not measured: llm_timer({name!r}) never ran{nearest(name, ran).rstrip('.')}"
    return Judged(check=replace(check, reason=reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promise:
    """What a check is about."""

    metric: str
    statistic: str
    unit: str
    bound: float

    @classmethod
    def of(cls, limit: Limit) -> _Promise:
        metric = METRICS[limit.metric]
        return cls(metric=limit.metric, statistic=limit.statistic, unit=metric.unit, bound=limit.bound)

    def check(self, outcome: Outcome, observed: float | None, n: int) -> Check:
        """The check without its reason."""
        return Check(
            metric=self.metric,
            statistic=self.statistic,
            kind=CheckKind.LIMIT,
            unit=self.unit,
            limit=self.bound,
            observed=observed,
            n=n,
            outcome=outcome,
            reason="",
        )

    @property
    def higher_is_better(self) -> bool:
        return METRICS[self.metric].higher_is_better if self.metric in METRICS else self.unit == ""

    def outcome(self, observed: float) -> Outcome:
        """Whether a value that has no interval keeps it."""
        broken = observed < self.bound if self.higher_is_better else observed > self.bound
        return Outcome.FAILED if broken else Outcome.PASSED

    def sentence(self, check: Check, details: str) -> str:
        """``p95 212 ms > 150 ms (n=40)``."""
        observed, bound = show_apart(check.observed, self.bound, self.unit)
        above = (check.observed or 0.0) >= self.bound
        sign = ("≥" if above else "<") if self.higher_is_better else (">" if above else "≤")
        if check.observed == self.bound:
            sign = "="
        return f"{check.label} {observed} {sign} {bound} ({details})"


def _judge_rate(measurement: Measurement, promise: _Promise, count: Count, terms: Terms) -> Judged:
    if not count.trials:
        return _unmeasured(promise, measurement)
    decision = gate.decide_limit_proportion(
        count.successes, count.trials, promise.bound, look=terms.look, looks=terms.looks
    )
    return _judged(promise, decision, f"{count.successes} of {count.trials}")


def _judge_quantile(promise: _Promise, values: Sequence[float], terms: Terms) -> Judged:
    decision = gate.decide_limit(
        values, promise.bound, quantile=QUANTILES[promise.statistic], look=terms.look, looks=terms.looks
    )
    return _judged(promise, decision, f"n={decision.n}")


_OUTCOMES = {
    gate.Side.BROKEN: Outcome.FAILED,
    gate.Side.KEPT: Outcome.PASSED,
    gate.Side.STRADDLING: Outcome.INCONCLUSIVE,
}


def _judged(promise: _Promise, decision: gate.LimitDecision, size: str) -> Judged:
    check = promise.check(_OUTCOMES[decision.side], decision.observed, decision.n)
    interval = show_range(decision.low, decision.high, promise.unit)
    reason = promise.sentence(check, f"{size}, 95 % interval {interval}")
    return Judged(
        check=replace(check, low=finite(decision.low), high=finite(decision.high), reason=reason),
        settled=decision.final,
        warnings=tuple(f"{check.label}: {warning}" for warning in decision.warnings),
    )


def _judge_point(measurement: Measurement, promise: _Promise, observed: float | None, n: int) -> Judged:
    """A limit on a value that has no interval: a maximum, a mean, a throughput."""
    if observed is None:
        return _unmeasured(promise, measurement)
    check = promise.check(promise.outcome(observed), observed, n)
    return Judged(check=replace(check, reason=promise.sentence(check, f"n={n}")))


def _judge_resource(resources: Resources, promise: _Promise) -> Judged:
    """A limit on what the server used: its peak or its mean over the measured part."""
    name = METRICS[promise.metric].resource
    usage = resources.usage.get(name)
    if usage is None:
        why = resources.missing.get(name, "nothing was sampled")
        check = promise.check(Outcome.INCONCLUSIVE, None, 0)
        return Judged(check=replace(check, reason=f"{check.label} was not sampled: {why}"))
    observed = usage.peak if promise.statistic == "peak" else usage.mean
    check = promise.check(promise.outcome(observed), observed, usage.n)
    how = f"{usage.n} samples in {show(resources.seconds, 's')}"
    notes = tuple(f"{check.label}: {note}" for note in resources.notes)
    return Judged(check=replace(check, reason=promise.sentence(check, how)), warnings=notes)


def _unmeasured(promise: _Promise, measurement: Measurement) -> Judged:
    """A promise about something that was never seen is not kept."""
    name = promise.metric.removeprefix("accuracy:")
    nothing = came_to_nothing(measurement, promise.metric)
    if nothing is not None:
        why = nothing
    elif name != promise.metric:
        why = f"llm.check({name!r}, ...) never ran"
    else:
        why = _WHY.get(promise.metric, "no request was made through a fixture of the plugin")
    check = promise.check(Outcome.FAILED, None, 0)
    reason = f"{check.label} was not measured: {why}"
    return Judged(check=replace(check, reason=reason), excusable=nothing is not None)


def came_to_nothing(measurement: Measurement, metric: str) -> str | None:
    """Why there is nothing to measure *metric* on, where a rate of the scenario says so already."""
    if measurement.sent and measurement.failed == measurement.sent:
        return "no request succeeded"
    needs_a_pass = metric in {"task", "pass_rate"} or metric not in METRICS
    if needs_a_pass and measurement.iterations and "task_s" not in measurement.series:
        return "no iteration passed"
    return None


#: What a metric needs, for the sentence that says why it is missing.
_WHY = {
    "ttft": "it needs a streamed request that succeeded and had content",
    "itl": "it needs streamed replies with two or more content chunks",
    "tpot": "it needs streamed replies with two or more output tokens",
    "task": "it needs an iteration that passed",
    "pass_rate": "it needs an iteration",
    "json_valid": "it needs a request with schema= or a read of reply.json",
    "tokens_per_s": "it needs replies whose output tokens are known",
    "requests_per_s": "it needs an iteration",
    "cache_hit_rate": "it needs a server that reports cached tokens",
    "cost_usd": "it needs a price for the model in slo.yaml, and replies whose tokens are known",
}
_WHY |= dict.fromkeys(
    ("input_tokens", "output_tokens", "total_tokens"), "it needs replies whose tokens are known"
)
