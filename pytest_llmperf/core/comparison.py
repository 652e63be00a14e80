"""How a scenario stands against what is stored of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pytest_llmperf.core import gate
from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.judged import Judged, finite
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.metric import QUANTILES, STEP, Key, Shape, metric_of, series_name
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.plain_rule import decide_plain, plain_alarms
from pytest_llmperf.core.promise import came_to_nothing
from pytest_llmperf.core.quantity import show, show_ratios_apart
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.steps import names_in
from pytest_llmperf.core.terms import Rule, Terms
from pytest_llmperf.core.verdict import Check, CheckKind, label_of


def compare(measurement: Measurement, slo: Slo, history: History, terms: Terms) -> list[Judged]:
    """One check for every metric that *slo* gates and that was measured, or why there is none."""
    if not slo.gates:
        return []
    if history.problem is not None:
        return [_missing(slo.gates[0], slo, Outcome.FAILED, history.problem)]
    if history.incomparable is not None:
        return [_missing(slo.gates[0], slo, Outcome.NOT_COMPARABLE, history.incomparable)]
    if not history.runs:
        return [_missing(slo.gates[0], slo, Outcome.NO_BASELINE, history.absent)]
    runs = history.comparable(measurement)
    if not runs:
        reason = (
            f"the stored baseline is not comparable ({history.differs(measurement)}): "
            "pytest --save-baseline stores one that is"
        )
        return [_missing(slo.gates[0], slo, Outcome.NOT_COMPARABLE, reason)]
    gates = _gated(measurement, slo)
    compared = [_compare(measurement, key, runs, slo, terms) for key in gates]
    judged = [each for each in compared if each is not None]
    judged += _vanished(measurement, runs[-1], slo)
    judged += _since_anchor(measurement, gates, runs, slo, terms, known=judged)
    return [*_remarked(judged[:1], history.changed(measurement)), *judged[1:]]


def _gated(measurement: Measurement, slo: Slo) -> list[Key]:
    """What *slo* gates: what it gates of the latency, it gates of every timed step.

    Where the latency is that of several steps, they are compared one by one and not as a mixture; where
    it is that of one step, once.
    """
    steps = names_in(measurement.series)
    keys = []
    for key in slo.gates:
        one_by_one = key.metric == "latency" and len(steps) > measurement.timed
        if not (one_by_one and measurement.timed):
            keys.append(key)
        if one_by_one:
            keys += [replace(key, metric=STEP + name) for name in steps]
    return keys


def _vanished(measurement: Measurement, newest: StoredRun, slo: Slo) -> list[Judged]:
    """Timed steps that were measured for the baseline and are missing now."""
    known, now = names_in(newest.series), names_in(measurement.series)
    key = next((key for key in slo.gates if key.metric == "latency"), None)
    if key is None:
        return []
    excusable = came_to_nothing(measurement, key.metric) is not None
    return [
        _missing(
            replace(key, metric=STEP + name),
            slo,
            Outcome.INCONCLUSIVE,
            f"{STEP}{name} was measured for the baseline and is missing now",
            excusable=excusable,
        )
        for name in known
        if name not in now
    ]


def _remarked(first: Sequence[Judged], changed: Sequence[str]) -> list[Judged]:
    """*first* with a remark on what else changed: an upgrade is to be gated, and to be seen."""
    if not changed:
        return list(first)
    remark = f"compared although this changed: {'; '.join(changed)}"
    return [replace(each, warnings=(*each.warnings, remark)) for each in first]


def _compare(
    measurement: Measurement, key: Key, runs: Sequence[StoredRun], slo: Slo, terms: Terms
) -> Judged | None:
    if metric_of(key.metric).shape is Shape.PROPORTION:
        return _compare_rate(measurement, key, runs, slo, terms)
    return _compare_times(measurement, key, runs, slo, terms)


def _since_anchor(
    measurement: Measurement,
    gates: Sequence[Key],
    runs: Sequence[StoredRun],
    slo: Slo,
    terms: Terms,
    *,
    known: Sequence[Judged],
) -> list[Judged]:
    """What is proven to have crept: small steps, each within the limit, and together past it.

    Only a proof counts here, and only of what is not *known* to have regressed: the newest runs
    decide everything else.
    """
    anchor = next((run for run in reversed(runs) if run.anchor), None)
    if anchor is None or len(runs) == 1 or terms.rule is not Rule.PROVEN:
        return []
    # Steps that creep look like run-to-run noise and would hide themselves: the anchor stands alone.
    terms = replace(terms, run_effect=None)
    told = {each.check.label for each in known if each.check.outcome is Outcome.REGRESSED}
    compared = [
        _compare_times(measurement, key, [anchor], slo, terms)
        for key in gates
        if metric_of(key.metric).shape is Shape.TIME
    ]
    return [
        replace(each, check=replace(each.check, reason=f"since the anchor: {each.check.reason}"), warnings=())
        for each in compared
        if each is not None and each.check.outcome is Outcome.REGRESSED and each.check.label not in told
    ]


def _missing(key: Key, slo: Slo, outcome: Outcome, reason: str, *, excusable: bool = False) -> Judged:
    check = Check(
        metric=key.metric,
        statistic=key.statistic,
        kind=CheckKind.REGRESSION,
        unit=metric_of(key.metric).unit,
        limit=1 + slo.max_regression,
        observed=None,
        outcome=outcome,
        reason=reason,
    )
    return Judged(check=check, excusable=excusable)


def _compare_times(
    measurement: Measurement, key: Key, runs: Sequence[StoredRun], slo: Slo, terms: Terms
) -> Judged | None:
    name, quantile = series_name(key.metric), QUANTILES[key.statistic]
    current = measurement.series.get(name, ())
    stored = [run.series[name] for run in runs if run.series.get(name)]
    if not stored:
        return _new(key, slo) if current else None
    if not current:
        nothing = came_to_nothing(measurement, key.metric)
        reason = f"{_label(key)} was measured for the baseline and is missing now"
        return _missing(key, slo, Outcome.FAILED, reason, excusable=nothing is not None)
    if terms.rule is Rule.PLAIN:
        decision = decide_plain(
            current, stored, quantile=quantile, max_regression=slo.max_regression, metric=key.metric
        )
        alarms = plain_alarms(stored, quantile=quantile, max_regression=slo.max_regression)
        if alarms is not None:
            told = (
                f"the bare rule fails {show(alarms, '')} of the pairs of stored runs, which differ in nothing"
            )
            decision = replace(decision, warnings=(*decision.warnings, told))
        return _compared(decision, key, slo, _origin(runs), terms)
    decision = gate.decide(
        current,
        stored,
        quantile=quantile,
        max_regression=slo.max_regression,
        look=terms.look,
        looks=terms.looks,
        run_effect=terms.run_effect,
        interleaved=terms.interleaved,
        metric=key.metric,
    )
    return _compared(decision, key, slo, _origin(runs), terms)


def _origin(runs: Sequence[StoredRun]) -> str:
    """``main@3f2c1a``, and how many older runs it was pooled with."""
    older = len(runs) - 1
    return runs[-1].origin + (f" and {older} more run{'s' if older > 1 else ''}" if older else "")


def _new(key: Key, slo: Slo) -> Judged:
    reason = f"{_label(key)} is not in the stored baseline: pytest --save-baseline adds it"
    return _missing(key, slo, Outcome.NO_BASELINE, reason)


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


def _label(key: Key) -> str:
    return label_of(key.metric, key.statistic)


#: Few samples of p95 are compared at p50 instead.
_NAMES: dict[float | None, str] = {quantile: name for name, quantile in QUANTILES.items()}


def _compared(decision: gate.Decision, key: Key, slo: Slo, origin: str, terms: Terms) -> Judged:
    check = Check(
        metric=key.metric,
        statistic=_NAMES.get(decision.quantile, key.statistic),
        kind=CheckKind.REGRESSION,
        unit=metric_of(key.metric).unit,
        limit=1 + slo.max_regression if metric_of(key.metric).unit == "s" else None,
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
    baseline = f"baseline {show(check.baseline, check.unit)} ({origin}, n={decision.m})"
    reason = f"{observed(check)}, {baseline}{_ratio(check, decision)}{_doubt(check, decision, terms)}"
    return Judged(
        check=replace(check, reason=reason),
        settled=decision.final,
        warnings=decision.warnings,
    )


def observed(check: Check) -> str:
    """How the reason of a comparison begins: ``p95 212 ms (n=40)``."""
    return f"{check.label} {show(check.observed, check.unit)} (n={check.n})"


def _ratio(check: Check, decision: gate.Decision) -> str:
    """``, x1.50, limit x1.10``; a share is not allowed to fall by a ratio."""
    if check.limit is None:
        return ""
    ratio, limit = show_ratios_apart(decision.ratio, check.limit)
    return f", {ratio}, limit {limit}"


def _doubt(check: Check, decision: gate.Decision, terms: Terms) -> str:
    """What the samples say about it, and what would settle it."""
    if terms.rule is Rule.PLAIN:
        return ""
    if check.outcome in {Outcome.REGRESSED, Outcome.IMPROVED}:
        return ": proven"
    if check.outcome not in {Outcome.UNPROVEN, Outcome.INCONCLUSIVE}:
        return ""
    told = "not proven"
    if check.unit == "s":
        past = check.outcome is Outcome.UNPROVEN
        told = f"{100 * (decision.ratio - 1):+.0f} %, not proven" if past else "too uncertain to say"
    ways = [] if decision.more is None else [f"about {decision.more} more requests"]
    if not terms.interleaved:
        ways += ["more stored runs", "--llm-ab"]
    way = f": takes {_either(ways)}" if ways else ", and no number of requests would settle it"
    return f": {told}{way} ({_shows(100 * (decision.mde or 0.0), check.unit)} yet)"  # known of all undecided


def _shows(percent: float, unit: str) -> str:
    if percent == math.inf:
        return "so few prove no rise at all"
    least = f"rise of more than {percent:.0f} %" if unit == "s" else f"fall of more than {percent:.0f} points"
    return f"only a {least} shows"


def _either(ways: Sequence[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return " or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)
