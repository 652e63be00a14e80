from __future__ import annotations

import pytest

from pytest_llmperf.core.doubt import Doubt, stands, told
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.verdict import Check, CheckKind

SLOWER = {
    "metric": "latency",
    "statistic": "p95",
    "kind": CheckKind.REGRESSION,
    "unit": "s",
    "limit": 1.1,
    "baseline": 0.1,
    "observed": 0.15,
    "ratio": 1.5,
    "outcome": Outcome.REGRESSED,
    "reason": "",
}


@pytest.mark.parametrize(
    ("low", "late_s", "what"),
    [
        (1.3, 0.01, True),
        (1.3, 0.03, False),  # what is left may be within the limit
        (1.05, 0.001, False),  # the point is 40 ms past it, but chance is in that
        (1.05, 0.0, True),  # proven, and nothing made it longer
        (None, 0.01, False),
    ],
)
def test_a_regression_stands_when_its_lower_end_is_past_the_limit_without_the_lag(low, late_s, what):
    check = Check(**SLOWER, low=low)
    assert stands(check, [Doubt(told="late", excess_s=late_s)]) is what


def test_all_lags_together_have_to_be_too_short():
    check = Check(**SLOWER, low=1.3)
    late = Doubt(told="late", excess_s=0.011)
    assert stands(check, [late])
    assert not stands(check, [late, late])


def test_a_doubt_of_unknown_size_leaves_nothing_standing():
    assert not stands(Check(**SLOWER, low=9.0), [Doubt(told="the generator used 97 % of a core")])


def test_all_are_told_in_one_sentence():
    assert told([Doubt(told="a"), Doubt(told="b")]) == "a; b"
