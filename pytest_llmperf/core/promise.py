"""Promises: what was measured against the limits of ``llm_slo`` and slo.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_llmperf.core import gate
from pytest_llmperf.core.judged import Judged, finite
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.metric import METRICS, QUANTILES, Shape, series_name
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.quantity import show, show_range
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
        if slo.limit(name, "rate") is None and _count(measurement, name).trials
    ]
    return [*slo.limits, *implied]


def _count(measurement: Measurement, name: str) -> Count:
    """How often a proportion held; replies that failed their iteration count there, and not twice."""
    count = measurement.proportions.get(name, Count())
    twice = measurement.json_failed if name == "json_valid" else 0
    return Count(successes=count.successes, trials=count.trials - twice)


def judge_limit(measurement: Measurement, limit: Limit, terms: Terms) -> Judged:
    """One limit."""
    metric = METRICS[limit.metric]
    if metric.shape is Shape.PROPORTION:
        return _judge_rate(measurement, _Subject.of(limit), _count(measurement, limit.metric), terms)
    if metric.shape is Shape.THROUGHPUT:
        return _judge_point(measurement, limit, measurement.throughput.get(limit.metric), _sent(measurement))
    values = measurement.series.get(series_name(limit.metric), ())
    if not values:
        return _judge_point(measurement, limit, None, 0)
    if limit.statistic not in QUANTILES:
        return _judge_point(
            measurement,
            limit,
            float(np.max(values) if limit.statistic == "max" else np.mean(values)),
            len(values),
        )
    return _judge_quantile(limit, values, terms)


def _sent(measurement: Measurement) -> int:
    return measurement.sent - measurement.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What a check is about."""

    metric: str
    statistic: str
    unit: str
    bound: float

    @classmethod
    def of(cls, limit: Limit) -> _Subject:
        return cls(
            metric=limit.metric, statistic=limit.statistic, unit=METRICS[limit.metric].unit, bound=limit.bound
        )

    def check(self, outcome: Outcome, reason: str, observed: float | None, n: int) -> Check:
        return Check(
            metric=self.metric,
            statistic=self.statistic,
            kind=CheckKind.LIMIT,
            unit=self.unit,
            limit=self.bound,
            observed=observed,
            n=n,
            outcome=outcome,
            reason=reason,
        )


def judge_accuracy(measurement: Measurement, name: str, share: float, terms: Terms) -> Judged:
    """The least share of passes of one named check."""
    counts = [check.count for check in measurement.checks if check.name == name]
    subject = _Subject(metric=f"accuracy:{name}", statistic="rate", unit="", bound=share)
    return _judge_rate(measurement, subject, sum(counts, Count()) if counts else None, terms)


def _judge_rate(measurement: Measurement, subject: _Subject, count: Count | None, terms: Terms) -> Judged:
    if count is None or not count.trials:
        return _unmeasured(subject, measurement)
    decision = gate.decide_limit_proportion(
        count.successes, count.trials, subject.bound, look=terms.look, looks=terms.looks
    )
    sign = "<" if decision.side is gate.Side.BROKEN else "≥"
    reason = (
        f"{_label(subject)} {show(count.rate, '')} {sign} {show(subject.bound, '')} "
        f"({count.successes} of {count.trials}, 95 % interval {show_range(decision.low, decision.high, '')})"
    )
    check = subject.check(_OUTCOMES[decision.side], reason, count.rate, count.trials)
    return Judged(
        check=replace(check, low=finite(decision.low), high=finite(decision.high)),
        settled=decision.final,
        warnings=decision.warnings,
    )


def _judge_quantile(limit: Limit, values: Sequence[float], terms: Terms) -> Judged:
    decision = gate.decide_limit(
        values, limit.bound, quantile=QUANTILES[limit.statistic], look=terms.look, looks=terms.looks
    )
    subject = _Subject.of(limit)
    sign = ">" if decision.side is gate.Side.BROKEN else "≤"
    reason = (
        f"{_label(subject)} {show(decision.observed, 's')} {sign} {show(limit.bound, 's')} "
        f"(n={decision.n}, 95 % interval {show_range(decision.low, decision.high, 's')})"
    )
    check = subject.check(_OUTCOMES[decision.side], reason, decision.observed, decision.n)
    return Judged(
        check=replace(check, low=finite(decision.low), high=finite(decision.high)),
        settled=decision.final,
        warnings=decision.warnings,
    )


_OUTCOMES = {
    gate.Side.BROKEN: Outcome.FAILED,
    gate.Side.KEPT: Outcome.PASSED,
    gate.Side.STRADDLING: Outcome.INCONCLUSIVE,
}


def _judge_point(measurement: Measurement, limit: Limit, observed: float | None, n: int) -> Judged:
    """A limit on a value that has no interval: a maximum, a mean, a throughput."""
    subject = _Subject.of(limit)
    if observed is None:
        return _unmeasured(subject, measurement)
    higher = METRICS[limit.metric].higher_is_better
    broken = observed < limit.bound if higher else observed > limit.bound
    sign = {(True, True): "<", (True, False): ">", (False, True): "≥", (False, False): "≤"}[broken, higher]
    reason = (
        f"{_label(subject)} {show(observed, subject.unit)} {sign} {show(limit.bound, subject.unit)} (n={n})"
    )
    return Judged(check=subject.check(Outcome.FAILED if broken else Outcome.PASSED, reason, observed, n))


def _unmeasured(subject: _Subject, measurement: Measurement) -> Judged:
    """A promise about something that was never seen is not kept.

    Where every request failed, success_rate says so: one cause is counted once.
    """
    name = subject.metric.removeprefix("accuracy:")
    if measurement.sent and measurement.failed == measurement.sent:
        outcome, why = Outcome.SKIPPED, "no request succeeded"
    elif name != subject.metric:
        outcome, why = Outcome.FAILED, f"llm.check({name!r}, ...) never ran"
    else:
        outcome, why = (
            Outcome.FAILED,
            _WHY.get(subject.metric, "no request was made through a fixture of the plugin"),
        )
    return Judged(check=subject.check(outcome, f"{_label(subject)} was not measured: {why}", None, 0))


#: What a metric needs, for the sentence that says why it is missing.
_WHY = {
    "ttft": "it needs a streamed request that succeeded and had content",
    "itl": "it needs streamed replies with two or more content chunks",
    "tpot": "it needs streamed replies with two or more output tokens",
    "task": "it needs an iteration that passed",
    "json_valid": "it needs a request with schema= or a read of reply.json",
    "cache_hit_rate": "it needs a server that reports cached tokens",
    "cost_usd": "it needs a price for the model under prices: in slo.yaml",
    "pass_rate": "it needs an iteration that was not ended by a failed request",
}


def _label(subject: _Subject) -> str:
    return subject.check(Outcome.PASSED, "", None, 0).label
