"""What was measured against the stored runs, or against the other arm of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_llmperf.core import gate
from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.judged import Judged, finite
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.metric import METRICS, QUANTILES, Key, Shape, series_name
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.quantity import show, show_ratio
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.terms import Rule, Terms
from pytest_llmperf.core.verdict import Check, CheckKind


def compare(measurement: Measurement, slo: Slo, history: History, terms: Terms) -> list[Judged]:
    """One check for each gated value, or one that says why nothing is compared."""
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


def _since_anchor(measurement: Measurement, anchor: StoredRun, slo: Slo, terms: Terms) -> list[Judged]:
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


def _no_comparison(slo: Slo, outcome: Outcome, reason: str) -> Judged:
    key = slo.gates[0] if slo.gates else Key(metric="latency", statistic="p95", scale=1.0)
    return Judged(
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
) -> Judged | None:
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
    return _compared(decision, key, slo, _origin(runs), terms)


def _compare_rate(
    measurement: Measurement, key: Key, runs: Sequence[StoredRun], slo: Slo, terms: Terms
) -> Judged | None:
    now = measurement.proportions.get(key.metric)
    stored = sum((run.proportions.get(key.metric, Count()) for run in runs), Count())
    if now is None or not stored.trials:
        return None
    decision = gate.decide_proportion(
        now.successes, now.trials, stored.successes, stored.trials, look=terms.look, looks=terms.looks
    )
    return _compared(decision, key, slo, _origin(runs), terms)


def _no_value(key: Key, slo: Slo, reason: str) -> Judged:
    judged = _no_comparison(slo, Outcome.FAILED, reason)
    return replace(judged, check=replace(judged.check, metric=key.metric, statistic=key.statistic))


#: Few samples of p95 are compared at p50 instead.
_NAMES: dict[float | None, str] = {quantile: name for name, quantile in QUANTILES.items()}


def _origin(runs: Sequence[StoredRun]) -> str:
    """``main@3f2c1a``, and how many older runs it was pooled with."""
    older = len(runs) - 1
    return runs[-1].origin + (f" and {older} more run{'s' if older > 1 else ''}" if older else "")


def _compared(decision: gate.Decision, key: Key, slo: Slo, origin: str, terms: Terms) -> Judged:
    unit = METRICS[key.metric].unit
    check = Check(
        metric=key.metric,
        statistic=_NAMES.get(decision.quantile, key.statistic),
        kind=CheckKind.REGRESSION,
        unit=unit,
        limit=1 + slo.max_regression if unit == "s" else None,
        observed=decision.observed,
        low=finite(decision.low),
        high=finite(decision.high),
        n=decision.n,
        baseline=decision.baseline,
        ratio=finite(decision.ratio),
        outcome=decision.outcome,
        reason="",
        more=decision.more,
    )
    return Judged(
        check=replace(check, reason=_comparison(check, decision, origin, terms)),
        settled=decision.final,
        warnings=decision.warnings,
    )


def _comparison(check: Check, decision: gate.Decision, origin: str, terms: Terms) -> str:
    """``p95 212 ms, baseline 141 ms (main@3f2c1a), x1.50, limit x1.10``, and what the samples say."""
    facts = (
        f"{check.label} {show(check.observed, check.unit)} (n={check.n}), "
        f"baseline {show(check.baseline, check.unit)} ({origin}, n={decision.m})"
    )
    if check.unit == "s":
        facts += (
            f", {show_ratio(decision.ratio)}, limit {show_ratio(1.0 if check.limit is None else check.limit)}"
        )
    return facts + _doubt(check, decision, terms)


def _doubt(check: Check, decision: gate.Decision, terms: Terms) -> str:
    if check.outcome is Outcome.REGRESSED:
        return ": proven"
    if check.outcome not in {Outcome.UNPROVEN, Outcome.INCONCLUSIVE}:
        return ""
    change = f"{100 * (decision.ratio - 1):+.0f} %, " if check.unit == "s" else ""
    ways = [] if decision.more is None else [f"about {decision.more} more requests"]
    if not terms.interleaved:
        ways += ["more stored runs", "--llm-ab"]
    way = f": takes {_either(ways)}" if ways else ", and no number of requests would settle it"
    kind = "a rise" if check.unit == "s" else "a fall"
    seen = "" if decision.mde is None else f" (only {kind} of more than {100 * decision.mde:.0f} % shows yet)"
    return f": {change}not proven{way}{seen}"


def _either(ways: Sequence[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return " or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)
