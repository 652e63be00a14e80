"""Chaos: a share of the requests fails, drawn by the mock from its seed. Waits are the clock's, and free."""

from __future__ import annotations

import httpx
import pytest

from planner import CircuitOpenError, State

CALLS = 100


@pytest.mark.parametrize(
    ("rate", "least"),
    [(0.10, 1.00), (0.30, 0.95), (0.50, 0.80), (0.70, 0.15)],
    ids=["10%", "30%", "50%", "70%"],
)
def test_most_plans_are_made_although_requests_fail(planner, llm_mock, clock, rate, least):
    llm_mock.faults(
        {"kind": "status", "status": 503, "rate": rate / 2}, {"kind": "reset", "rate": rate / (2 - rate)}
    )
    made = 0
    for number in range(CALLS):
        try:
            made += planner.plan(f"Move to waypoint {number}", "phi3")["action"] == "move"
        except (httpx.HTTPError, CircuitOpenError):
            clock.sleep(0.5)  # the game goes on without a plan
    telemetry, received = planner.telemetry, len(llm_mock.requests)
    assert made / CALLS >= least
    assert made == telemetry["answered"] == CALLS - telemetry["failed"] - telemetry["rejected"]
    assert received <= CALLS + telemetry["retries"]
    opened = planner.breakers.of("phi3").opened
    assert opened == 0 if rate == 0.10 else opened >= (rate == 0.70)


def test_during_an_outage_the_server_is_left_alone(planner, llm_mock, clock):
    llm_mock.faults(kind="status", status=503)
    for number in range(CALLS):
        with pytest.raises((httpx.HTTPError, CircuitOpenError)):
            planner.plan(f"Move to waypoint {number}", "phi3")
    assert len(llm_mock.requests) == 5 + int(clock.now_s)  # five to open it, one trial a second
    assert planner.breakers.of("phi3").state is State.OPEN


def test_what_is_cached_is_answered_during_an_outage(planner, llm_mock):
    plan = planner.plan("Hold position", "phi3")
    llm_mock.faults(kind="status", status=503)
    assert planner.plan("Hold position", "phi3") == plan
