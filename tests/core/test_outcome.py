from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.outcome import Outcome, worst


def test_the_order_is_the_one_that_reports_promise():
    assert [outcome.value for outcome in sorted(Outcome, key=lambda outcome: outcome.severity)] == [
        "skipped",
        "passed",
        "improved",
        "no_baseline",
        "not_comparable",
        "inconclusive",
        "unproven",
        "regressed",
        "failed",
    ]


def test_nothing_judged_is_skipped():
    assert worst([]) is Outcome.SKIPPED


@given(st.lists(st.sampled_from(Outcome), min_size=1))
def test_the_worst_is_one_of_them_and_none_is_worse(outcomes):
    found = worst(outcomes)
    assert found in outcomes
    assert all(outcome.severity <= found.severity for outcome in outcomes)
