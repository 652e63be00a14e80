"""The verdict on one scenario: limits first, then the comparison with what is stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_llmperf.core import gate
from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.metric import METRICS, QUANTILES, Key, Shape, series_name
from pytest_llmperf.core.outcome import Outcome, worst
from pytest_llmperf.core.quantity import show, show_range, show_ratio
from pytest_llmperf.core.slo import Limit, Slo
from pytest_llmperf.core.terms import ONE_LOOK, Rule, Terms
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict

#: Held to 1.0 unless the user says otherwise.
IMPLIED = ("success_rate", "pass_rate", "json_valid")


def judge(measurement: Measurement, slo: Slo, history: History, terms: Terms = ONE_LOOK) -> Verdict:
    """The verdict on *measurement* under *slo*, compared with *history*.

    Pure: the same arguments give the same verdict.
    """
    limits = [_judge_limit(measurement, limit, terms) for limit in _limits(measurement, slo)]
    limits += [_judge_accuracy(measurement, name, share, terms) for name, share in slo.accuracy]
    judged = [*limits]
    if terms.rule is not Rule.NONE:
        judged += _judge_history(measurement, slo, history, terms)
    checks = tuple(each.check for each in judged)
    outcome = worst([check.outcome for check in checks])
    warnings = dict.fromkeys(
        (*slo.notes, *measurement.warnings, *(warning for each in judged for warning in each.warnings))
    )
    return Verdict(
        outcome=outcome,
        reason=_reason(checks, outcome),
        checks=checks,
        # A broken limit or a proven regression cannot be mended by more samples.
        settled=terms.last
        or outcome in {Outcome.FAILED, Outcome.REGRESSED}
        or all(each.settled for each in judged),
        warnings=tuple(warnings),
    )


def quick(measurement: Measurement, slo: Slo) -> Verdict:
    """The verdict of ``--llm-quick``: asserts, requests and JSON only; percentiles are not judged."""
    limits = [limit for limit in _limits(measurement, slo) if METRICS[limit.metric].shape is Shape.PROPORTION]
    checks = tuple(_judge_limit(measurement, limit, ONE_LOOK).check for limit in limits)
    broken = [check.outcome for check in checks if check.outcome is Outcome.FAILED]
    outcome = worst(broken)
    reason = _reason(checks, outcome) if broken else "quick look: asserts hold, percentiles are not judged"
    return Verdict(outcome=outcome, reason=reason, checks=checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    check: Check
    settled: bool = True
    warnings: tuple[str, ...] = ()


def _limits(measurement: Measurement, slo: Slo) -> list[Limit]:
    implied = [
        Limit(key=name, metric=name, statistic="rate", bound=1.0)
        for name in IMPLIED
        if slo.limit(name, "rate") is None and name in measurement.proportions
    ]
    return [*slo.limits, *implied]


def _judge_limit(measurement: Measurement, limit: Limit, terms: Terms) -> _Judged:
    metric = METRICS[limit.metric]
    if metric.shape is Shape.PROPORTION:
        count = measurement.proportions.get(limit.metric)
        if count is not None and limit.metric == "json_valid":
            # A reply that failed its iteration is counted there, and not twice.
            count = Count(successes=count.successes, trials=count.trials - measurement.json_failed)
        return _judge_rate(measurement, _Subject.of(limit), count, terms)
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


def _judge_accuracy(measurement: Measurement, name: str, share: float, terms: Terms) -> _Judged:
    counts = [check.count for check in measurement.checks if check.name == name]
    subject = _Subject(metric=f"accuracy:{name}", statistic="rate", unit="", bound=share)
    return _judge_rate(measurement, subject, sum(counts, Count()) if counts else None, terms)


def _judge_rate(measurement: Measurement, subject: _Subject, count: Count | None, terms: Terms) -> _Judged:
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
    return _Judged(
        check=replace(check, low=_finite(decision.low), high=_finite(decision.high)),
        settled=decision.final,
        warnings=decision.warnings,
    )


def _judge_quantile(limit: Limit, values: Sequence[float], terms: Terms) -> _Judged:
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
    return _Judged(
        check=replace(check, low=_finite(decision.low), high=_finite(decision.high)),
        settled=decision.final,
        warnings=decision.warnings,
    )


_OUTCOMES = {
    gate.Side.BROKEN: Outcome.FAILED,
    gate.Side.KEPT: Outcome.PASSED,
    gate.Side.STRADDLING: Outcome.INCONCLUSIVE,
}


def _judge_point(measurement: Measurement, limit: Limit, observed: float | None, n: int) -> _Judged:
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
    return _Judged(check=subject.check(Outcome.FAILED if broken else Outcome.PASSED, reason, observed, n))


def _unmeasured(subject: _Subject, measurement: Measurement) -> _Judged:
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
    return _Judged(check=subject.check(outcome, f"{_label(subject)} was not measured: {why}", None, 0))


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


def _finite(value: float) -> float | None:
    """An interval that the samples leave open on this side has no bound here."""
    return value if math.isfinite(value) else None


def _label(subject: _Subject) -> str:
    return subject.check(Outcome.PASSED, "", None, 0).label


def _judge_history(measurement: Measurement, slo: Slo, history: History, terms: Terms) -> list[_Judged]:
    if history.problem is not None:
        return [_no_comparison(slo, Outcome.FAILED, history.problem)]
    if history.incomparable is not None:
        return [_no_comparison(slo, Outcome.NOT_COMPARABLE, history.incomparable)]
    if not history.runs:
        return [_no_comparison(slo, Outcome.NO_BASELINE, history.absent)]
    runs = history.comparable(measurement)
    if not runs:
        reason = (
            f"the stored baseline is not comparable ({history.differs(measurement)}): pytest --save-baseline"
        )
        return [_no_comparison(slo, Outcome.NOT_COMPARABLE, reason)]
    judged = []
    for key in slo.gates:
        if METRICS[key.metric].shape is Shape.PROPORTION:
            each = _compare_rate(measurement, key, runs, slo, terms)
        else:
            each = _compare_times(measurement, key, runs, slo, terms)
        if each is not None:
            judged.append(each)
    anchor = next((run for run in runs if run.anchor), None)
    if anchor is not None and len(runs) > 1 and terms.rule is Rule.PROVEN:
        seen = {
            (each.check.metric, each.check.statistic)
            for each in judged
            if each.check.outcome is Outcome.REGRESSED
        }
        judged += [
            each
            for each in _since_anchor(measurement, anchor, slo, terms)
            if (each.check.metric, each.check.statistic) not in seen
        ]
    return judged


def _since_anchor(measurement: Measurement, anchor: StoredRun, slo: Slo, terms: Terms) -> list[_Judged]:
    """What is proven to have crept: small steps, each within the limit, and together past it.

    Only a proof counts here: the newest runs decide everything else.
    """
    compared = [
        _compare_times(measurement, key, [anchor], slo, terms)
        for key in slo.gates
        if METRICS[key.metric].shape is Shape.TIME
    ]
    return [
        replace(each, check=replace(each.check, reason=f"since the anchor: {each.check.reason}"), warnings=())
        for each in compared
        if each is not None and each.check.outcome is Outcome.REGRESSED
    ]


def _no_comparison(slo: Slo, outcome: Outcome, reason: str) -> _Judged:
    key = slo.gates[0] if slo.gates else Key(metric="latency", statistic="p95", scale=1.0)
    return _Judged(
        check=Check(
            metric=key.metric,
            statistic=key.statistic,
            kind=CheckKind.REGRESSION,
            unit=METRICS[key.metric].unit,
            limit=1 + slo.max_regression,
            observed=None,
            outcome=outcome,
            reason=reason,
        )
    )


def _compare_times(
    measurement: Measurement, key: Key, runs: Sequence[StoredRun], slo: Slo, terms: Terms
) -> _Judged | None:
    name = series_name(key.metric)
    current = measurement.series.get(name, ())
    stored = [run.series[name] for run in runs if run.series.get(name)]
    if not stored:
        return None  # never measured then: a metric that is new, or a scenario that does not stream
    if not current and measurement.sent and measurement.failed == measurement.sent:
        return None  # which success_rate says already
    if not current:
        reason = f"{name.removesuffix('_s')} {key.statistic} was measured for the baseline and is missing now"
        return _no_value(key, slo, reason)
    if terms.rule is Rule.PLAIN:
        decision = gate.decide_plain(
            current, stored, quantile=QUANTILES[key.statistic], max_regression=slo.max_regression
        )
    else:
        decision = gate.decide(
            current,
            stored,
            quantile=QUANTILES[key.statistic],
            max_regression=slo.max_regression,
            look=terms.look,
            looks=terms.looks,
            run_effect=terms.run_effect,
            interleaved=terms.interleaved,
        )
    return _compared(decision, key, slo, _origin(runs))


def _compare_rate(
    measurement: Measurement, key: Key, runs: Sequence[StoredRun], slo: Slo, terms: Terms
) -> _Judged | None:
    now = measurement.proportions.get(key.metric)
    stored = sum((run.proportions.get(key.metric, Count()) for run in runs), Count())
    if now is None or not stored.trials:
        return None
    decision = gate.decide_proportion(
        now.successes, now.trials, stored.successes, stored.trials, look=terms.look, looks=terms.looks
    )
    return _compared(decision, key, slo, _origin(runs))


def _no_value(key: Key, slo: Slo, reason: str) -> _Judged:
    judged = _no_comparison(slo, Outcome.FAILED, reason)
    return replace(judged, check=replace(judged.check, metric=key.metric, statistic=key.statistic))


#: Few samples of p95 are compared at p50 instead.
_NAMES: dict[float | None, str] = {quantile: name for name, quantile in QUANTILES.items()}


def _origin(runs: Sequence[StoredRun]) -> str:
    """``main@3f2c1a``, and how many older runs it was pooled with."""
    older = len(runs) - 1
    return runs[-1].origin + (f" and {older} more run{'s' if older > 1 else ''}" if older else "")


def _compared(decision: gate.Decision, key: Key, slo: Slo, origin: str) -> _Judged:
    unit = METRICS[key.metric].unit
    check = Check(
        metric=key.metric,
        statistic=_NAMES.get(decision.quantile, key.statistic),
        kind=CheckKind.REGRESSION,
        unit=unit,
        limit=1 + slo.max_regression,
        observed=decision.observed,
        low=_finite(decision.low),
        high=_finite(decision.high),
        n=decision.n,
        baseline=decision.baseline,
        ratio=_finite(decision.ratio),
        outcome=decision.outcome,
        reason="",
        more=decision.more,
    )
    return _Judged(
        check=replace(check, reason=_comparison(check, decision, origin)),
        settled=decision.final,
        warnings=decision.warnings,
    )


def _comparison(check: Check, decision: gate.Decision, origin: str) -> str:
    """``p95 212 ms, baseline 141 ms (main@3f2c1a), x1.50, limit x1.10``, and what the samples say."""
    facts = (
        f"{check.label} {show(check.observed, check.unit)} (n={check.n}), "
        f"baseline {show(check.baseline, check.unit)} ({origin}, n={decision.m})"
    )
    if check.unit == "s":
        facts += (
            f", {show_ratio(decision.ratio)}, limit {show_ratio(1.0 if check.limit is None else check.limit)}"
        )
    return facts + _doubt(check, decision)


def _doubt(check: Check, decision: gate.Decision) -> str:
    if check.outcome is Outcome.REGRESSED:
        return ": proven"
    if check.outcome not in {Outcome.UNPROVEN, Outcome.INCONCLUSIVE}:
        return ""
    change = f"{100 * (decision.ratio - 1):+.0f} %, " if check.unit == "s" else ""
    seen = "" if decision.mde is None else f"; only more than {100 * decision.mde:+.0f} % would be seen"
    if decision.more is not None:
        return f": {change}not proven{seen}; needs about {decision.more} more requests, or more stored runs"
    return f": {change}not proven{seen}; more stored runs would tell"


def _reason(checks: Sequence[Check], outcome: Outcome) -> str:
    """One sentence: the worst checks, those about the same value joined."""
    if outcome in {Outcome.PASSED, Outcome.IMPROVED}:
        better = [check for check in checks if check.outcome is Outcome.IMPROVED]
        return better[0].reason if better else "every limit holds" + _compared_with(checks)
    return " · ".join(check.reason for check in checks if check.outcome is outcome)


def _compared_with(checks: Sequence[Check]) -> str:
    return ", no regression" if any(check.kind is CheckKind.REGRESSION for check in checks) else ""
