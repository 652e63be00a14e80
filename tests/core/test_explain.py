from __future__ import annotations

from pytest_llmperf.core.explain import failure_text
from pytest_llmperf.core.measurement import FailureCount, Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict


def check(reason, *, metric="latency", statistic="p95", outcome=Outcome.FAILED):
    return Check(
        metric=metric,
        statistic=statistic,
        kind=CheckKind.LIMIT,
        unit="s",
        limit=0.15,
        observed=0.2,
        outcome=outcome,
        reason=reason,
    )


def scenario(*checks, outcome=Outcome.FAILED, reason="", **measured):
    verdict = Verdict(outcome=outcome, reason=reason, checks=checks)
    return Scenario(
        measurement=Measurement(scenario="a", name="test_router", **measured), slo=Slo(), verdict=verdict
    )


def test_what_is_said_of_one_value_stands_in_one_line():
    text = failure_text(
        scenario(
            check("p95 212 ms > 150 ms"),
            check("ttft p95 90 ms > 50 ms", metric="ttft"),
            check("p95 200 ms (n=0), baseline 141 ms", outcome=Outcome.REGRESSED),
        )
    )
    assert text.splitlines() == [
        "test_router  p95 212 ms > 150 ms · baseline 141 ms",
        "test_router  ttft p95 90 ms > 50 ms",
    ]


def test_what_holds_is_not_mentioned():
    text = failure_text(
        scenario(check("p95 is fine", outcome=Outcome.PASSED), check("p99 is not", statistic="p99"))
    )
    assert text == "test_router  p99 is not"


def test_what_strict_fails_is_mentioned():
    unproven = check("+12 %, not proven", outcome=Outcome.UNPROVEN)
    text = failure_text(scenario(unproven, outcome=Outcome.UNPROVEN), frozenset({Outcome.UNPROVEN}))
    assert text == "test_router  +12 %, not proven"


def test_failed_requests_are_counted_by_kind_with_an_example():
    failures = (
        FailureCount(kind="connect", count=3, example="connection refused"),
        FailureCount(kind="http_status", count=1, example="503: busy"),
    )
    assert failure_text(scenario(sent=40, failed=4, failures=failures)).splitlines() == [
        "test_router  3 of 40 requests failed (connect): connection refused",
        "test_router  1 of 40 requests failed (http_status): 503: busy",
    ]


def test_what_a_server_says_commands_no_terminal():
    failures = (FailureCount(kind="step", count=1, example="submit: \x1b[2J\nall is well \u202e"),)
    assert failure_text(scenario(sent=1, failed=1, failures=failures)) == (
        r"test_router  1 of 1 requests failed (step): submit: \x1b[2J\x0aall is well \u202e"
    )


def test_why_measuring_stopped_is_told():
    text = failure_text(scenario(stopped="5 iterations in a row found no server"))
    assert text == "test_router  stopped: 5 iterations in a row found no server"


def test_a_verdict_without_a_broken_check_gives_its_own_reason():
    assert failure_text(scenario(reason="measuring ended before a verdict")) == (
        "test_router  measuring ended before a verdict"
    )


def test_a_doubt_that_is_no_checks_comes_before_what_strict_fails():
    absent = check("in none of the earlier runs", outcome=Outcome.NO_BASELINE)
    doubted = scenario(absent, outcome=Outcome.INCONCLUSIVE, reason="50 of 100 arrivals were dropped")
    strict = frozenset({Outcome.INCONCLUSIVE, Outcome.NO_BASELINE})
    assert failure_text(doubted, strict).splitlines() == [
        "test_router  50 of 100 arrivals were dropped",
        "test_router  in none of the earlier runs",
    ]


def test_a_verdict_that_says_why_measuring_stopped_says_it_once():
    stopped = "3 % of 200 requests failed"
    assert failure_text(scenario(reason=stopped, stopped=stopped)) == f"test_router  {stopped}"
