"""Retries, against a server that fails on purpose."""

from __future__ import annotations

from random import Random

import httpx
import pytest

from planner import back_off_s

PROMPT, MODEL = "Hold position", "phi3"


def test_the_wait_doubles_up_to_half_a_second_and_varies_by_a_quarter():
    for attempt, expected in enumerate([0.05, 0.1, 0.2, 0.4, 0.5, 0.5], start=1):
        waits = [back_off_s(attempt, Random(seed)) for seed in range(200)]
        assert expected * 0.75 <= min(waits) < expected * 0.8
        assert expected * 1.2 < max(waits) <= expected * 1.25


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 500},
        {"kind": "rate_limit"},
        {"kind": "reset"},
        {"kind": "cut"},
    ],
    ids=["503", "500", "429", "reset", "cut"],
)
def test_what_may_pass_is_tried_again(planner, llm_mock, clock, fault):
    llm_mock.faults({**fault, "times": 2})
    assert planner.plan(PROMPT, MODEL) == {"action": "defend"}
    assert len(clock.slept_s) == planner.telemetry["retries"] == 2


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_what_will_not_pass_is_not_tried_again(planner, llm_mock, clock, status):
    llm_mock.faults(kind="status", status=status)
    with pytest.raises(httpx.HTTPStatusError):
        planner.plan(PROMPT, MODEL)
    assert clock.slept_s == []
    assert len(llm_mock.requests) == 1


def test_the_server_says_how_long_to_wait(planner, llm_mock, clock):
    llm_mock.faults(kind="rate_limit", retry_after="2s", times=1)
    planner.plan(PROMPT, MODEL)
    assert clock.slept_s == [2.0]


def test_after_the_last_attempt_the_error_is_raised(planner, llm_mock, clock):
    llm_mock.faults(kind="status", status=503)
    with pytest.raises(httpx.HTTPStatusError):
        planner.plan(PROMPT, MODEL)
    assert len(clock.slept_s) == 4
    assert len(llm_mock.requests) == 5


def test_an_answer_that_is_no_plan_is_an_error_and_not_kept(planner, llm_mock):
    llm_mock.reply("Sure! Here is a plan.", times=1)
    with pytest.raises(ValueError, match="Expecting value"):
        planner.plan(PROMPT, MODEL)
    assert planner.plan(PROMPT, MODEL) == {"action": "defend"}
