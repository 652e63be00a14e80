"""The verdict on one scenario: its promises first, then the comparison with what is stored."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.comparison import compare
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.outcome import Outcome, worst
from pytest_llmperf.core.promise import judge_accuracy, judge_limit, promised
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.terms import ONE_LOOK, Rule, Terms
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict


def judge(measurement: Measurement, slo: Slo, history: History, terms: Terms = ONE_LOOK) -> Verdict:
    """The verdict on *measurement* under *slo*, compared with *history*.

    Pure: the same arguments give the same verdict.
    """
    limits = [judge_limit(measurement, limit, terms) for limit in promised(measurement, slo)]
    limits += [judge_accuracy(measurement, name, share, terms) for name, share in slo.accuracy]
    judged = [*limits]
    if terms.rule is not Rule.NONE:
        judged += compare(measurement, slo, history, terms)
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
    limits = [
        limit for limit in promised(measurement, slo) if METRICS[limit.metric].shape is Shape.PROPORTION
    ]
    checks = tuple(judge_limit(measurement, limit, ONE_LOOK).check for limit in limits)
    broken = [check.outcome for check in checks if check.outcome is Outcome.FAILED]
    outcome = worst(broken)
    reason = _reason(checks, outcome) if broken else "quick look: asserts hold, percentiles are not judged"
    return Verdict(outcome=outcome, reason=reason, checks=checks)


def _reason(checks: Sequence[Check], outcome: Outcome) -> str:
    """One sentence: the worst checks, those about the same value joined."""
    if outcome in {Outcome.PASSED, Outcome.IMPROVED}:
        better = [check for check in checks if check.outcome is Outcome.IMPROVED]
        return better[0].reason if better else "every limit holds" + _compared_with(checks)
    return " · ".join(check.reason for check in checks if check.outcome is outcome)


def _compared_with(checks: Sequence[Check]) -> str:
    return ", no regression" if any(check.kind is CheckKind.REGRESSION for check in checks) else ""
