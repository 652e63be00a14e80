from __future__ import annotations

import pytest

from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict


def check(metric="latency", statistic="p95", outcome=Outcome.PASSED):
    return Check(
        metric=metric,
        statistic=statistic,
        kind=CheckKind.LIMIT,
        unit="s",
        limit=0.15,
        observed=0.1,
        outcome=outcome,
        reason="",
    )


@pytest.mark.parametrize(
    ("metric", "statistic", "label"),
    [
        ("latency", "p95", "p95"),
        ("ttft", "p95", "ttft p95"),
        ("json_valid", "rate", "json_valid"),
        ("accuracy:route", "rate", "accuracy:route"),
        ("output_tokens", "max", "output_tokens max"),
        ("task", "", "task"),
    ],
)
def test_a_check_is_named_as_its_key_is(metric, statistic, label):
    assert check(metric, statistic).label == label


def test_the_broken_checks_are_those_that_fail_a_run():
    checks = tuple(check(outcome=outcome) for outcome in Outcome)
    verdict = Verdict(outcome=Outcome.FAILED, reason="", checks=checks)
    assert [each.outcome for each in verdict.broken] == [Outcome.REGRESSED, Outcome.FAILED]
