"""What ``abort_on`` looks back on."""

from __future__ import annotations

import math

import pytest

from pytest_llmperf.core.load import AbortOn
from pytest_llmperf.load.lately import Lately


@pytest.fixture
def lately():
    return Lately()


def ended(lately, latencies, *, from_s=100.0):
    for number, latency_s in enumerate(latencies):
        lately.add(from_s + 0.1 * number, latency_s)


FEW_FAIL = AbortOn(error_rate=0.2)
QUICK = AbortOn(p95_s=1.0)


def test_too_many_failures_end_the_run(lately):
    ended(lately, [math.nan] * 5 + [0.1] * 15)
    assert lately.reason(FEW_FAIL, 102.0) == "25 % of the last 20 requests failed, more than 20 %"


def test_as_many_failures_as_are_allowed_do_not(lately):
    ended(lately, [math.nan] * 4 + [0.1] * 16)
    assert lately.reason(FEW_FAIL, 102.0) is None


def test_the_p95_of_what_succeeded_ends_the_run(lately):
    ended(lately, [0.5] * 18 + [2.0, 2.0, math.nan])
    assert lately.reason(QUICK, 102.0) == "p95 of the last 21 requests is 2 s, more than 1 s"


def test_less_than_twenty_requests_say_nothing(lately):
    ended(lately, [math.nan] * 19)
    assert lately.reason(FEW_FAIL, 102.0) is None


def test_what_ended_more_than_ten_seconds_ago_says_nothing(lately):
    ended(lately, [math.nan] * 20)
    assert lately.reason(FEW_FAIL, 112.0) is None


def test_when_nothing_succeeded_there_is_no_p95(lately):
    ended(lately, [math.nan] * 20)
    assert lately.reason(QUICK, 102.0) is None
