"""The verdict on one scenario: limits first, then the comparison with what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.comparison import compare
from pytest_llmperf.core.doubt import Doubt, stands, told
from pytest_llmperf.core.judged import Judged
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.metric import METRICS, STEP, Shape
from pytest_llmperf.core.outcome import BROKEN, Outcome, worst
from pytest_llmperf.core.promise import (
    IMPLIED,
    judge_accuracy,
    judge_limit,
    judge_step,
    promised,
    promised_of_steps,
)
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.terms import ONE_LOOK, Rule, Terms
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict


def judge(measurement: Measurement, slo: Slo, history: History, terms: Terms = ONE_LOOK) -> Verdict:
    """The verdict on *measurement* under *slo*, compared with *history*.

    Pure: the same arguments give the same verdict.
    """
    judged = [judge_limit(measurement, limit, terms) for limit in promised(measurement, slo)]
    judged += [judge_accuracy(measurement, name, share, terms) for name, share in slo.accuracy]
    judged += [
        judge_step(measurement, metric, limit, terms) for metric, limit in promised_of_steps(measurement, slo)
    ]
    if terms.rule is not Rule.NONE:
        judged += compare(measurement, slo, history, terms)
    judged = _counted_once(judged)
    judged = _doubted(judged, measurement)
    checks = tuple(each.check for each in judged)
    outcome = worst([check.outcome for check in checks])
    if measurement.load is not None and measurement.load.aborted:
        return Verdict(outcome=Outcome.FAILED, reason=measurement.stopped, checks=checks)
    lost = measurement.load is not None and measurement.load.lost > 0
    in_doubt = lost or (bool(measurement.doubts) and _lacks_a_baseline(checks, slo))
    outcome = worst([outcome, Outcome.INCONCLUSIVE]) if in_doubt else outcome
    unsaid = outcome not in {check.outcome for check in checks}
    by_doubt = in_doubt and outcome not in BROKEN and (lost or unsaid)
    warnings = dict.fromkeys(
        (
            *slo.notes,
            *measurement.warnings,
            *(doubt.told for doubt in measurement.doubts),
            *(warning for each in judged for warning in each.warnings),
        )
    )
    return Verdict(
        outcome=outcome,
        reason=told(measurement.doubts) if by_doubt else _reason(checks, outcome),
        checks=checks,
        # A broken limit or a proven regression cannot be mended by more samples.
        settled=outcome in BROKEN or all(each.settled for each in judged),
        warnings=tuple(warnings),
    )


def quick(measurement: Measurement, slo: Slo) -> Verdict:
    """The verdict of ``--llm-quick``: asserts, requests and JSON only; percentiles are not judged."""
    limits = [
        limit for limit in promised(measurement, slo) if METRICS[limit.metric].shape is Shape.PROPORTION
    ]
    steps = [
        (metric, limit)
        for metric, limit in promised_of_steps(measurement, slo)
        if limit.metric == "success_rate"
    ]
    judged = _counted_once(
        [
            *(judge_limit(measurement, limit, ONE_LOOK) for limit in limits),
            *(judge_step(measurement, metric, limit, ONE_LOOK) for metric, limit in steps),
        ]
    )
    checks = tuple(each.check for each in judged)
    outcome = worst([check.outcome for check in checks if check.outcome is Outcome.FAILED])
    broken = outcome is Outcome.FAILED
    reason = _reason(checks, outcome) if broken else "quick look: asserts hold, percentiles are not judged"
    return Verdict(outcome=outcome, reason=reason, checks=checks)


def _counted_once(judged: Sequence[Judged]) -> list[Judged]:
    """*judged*, where what is missing for want of successes is left to the rate that says so."""
    if not any(map(_tells, judged)):
        return list(judged)
    return [
        replace(each, check=replace(each.check, outcome=Outcome.SKIPPED)) if each.excusable else each
        for each in judged
    ]


def _tells(judged: Judged) -> bool:
    """Whether it says that too few requests, iterations or steps succeeded."""
    check = judged.check
    rate = check.metric in IMPLIED or check.statistic == "success_rate"
    return rate and check.outcome in {Outcome.FAILED, Outcome.INCONCLUSIVE} and not judged.excusable


def _doubted(judged: Sequence[Judged], measurement: Measurement) -> list[Judged]:
    """*judged*, where times and rates say nothing if the load was not what it should have been."""
    doubts = measurement.doubts
    if not doubts:
        return list(judged)
    return [replace(each, check=_doubted_one(each.check, doubts)) for each in judged]


def _doubted_one(check: Check, doubts: Sequence[Doubt]) -> Check:
    generators = _is_generators(check.metric, check.statistic) and check.observed is not None
    if not generators or stands(check, doubts):
        return check
    reason = f"{told(doubts)}, so {check.reason} says little"
    return replace(check, outcome=Outcome.INCONCLUSIVE, reason=reason)


def _is_generators(metric: str, statistic: str) -> bool:
    """Whether a load generator that is late changes what a check of *metric* is about."""
    if metric.startswith(STEP):
        return statistic != "success_rate"
    known = METRICS.get(metric)
    timed = known is not None and known.shape is Shape.TIME
    return timed or metric in {"goodput", "tokens_per_s", "requests_per_s"}


def _lacks_a_baseline(checks: Sequence[Check], slo: Slo) -> bool:
    """Whether times have no baseline to be held against; a doubted run could not become one either."""
    # one check stands for all gates then
    absent = any(check.outcome in {Outcome.NO_BASELINE, Outcome.NOT_COMPARABLE} for check in checks)
    return absent and any(_is_generators(gate.metric, gate.statistic) for gate in slo.gates)


def _reason(checks: Sequence[Check], outcome: Outcome) -> str:
    """One sentence: what is broken, or the first thing in doubt, or that all is well."""
    if not checks:
        return "nothing was measured that could be judged"
    worst_ones = [check for check in checks if check.outcome is outcome]
    if outcome in BROKEN:
        return " · ".join(check.reason for check in worst_ones)
    if outcome is Outcome.PASSED:
        compared = any(check.kind is CheckKind.REGRESSION for check in checks)
        return "every limit holds, no regression" if compared else "every limit holds"
    others = ", ".join(check.label for check in worst_ones[1:])
    return worst_ones[0].reason + (f" · likewise {others}" if others else "")
