"""The circuit breaker: opening, recovery, isolation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import httpx
import pytest

from planner import Breaker, CircuitOpenError, State, build, is_transient


@pytest.fixture
def breaker(clock):
    return Breaker(counts=lambda error: isinstance(error, OSError), recovery_s=1.0, clock=clock)


def fail(breaker, times=1, error=OSError):
    def raising():
        raise error

    for _ in range(times):
        with pytest.raises(error):
            breaker.call(raising)


def succeed(breaker, times=1):
    for _ in range(times):
        assert breaker.call(lambda: "fine") == "fine"


def test_five_failures_in_a_row_open_it(breaker):
    fail(breaker, 4)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN
    with pytest.raises(CircuitOpenError):
        breaker.call(pytest.fail)


def test_a_success_starts_the_count_again(breaker):
    fail(breaker, 4)
    succeed(breaker)
    fail(breaker, 4)
    assert breaker.state is State.CLOSED


def test_errors_that_are_not_the_servers_do_not_count(breaker):
    fail(breaker, 20, error=KeyError)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("recovery_s", [0.01, 0.1, 1.0])
def test_it_stays_open_for_the_recovery_time(clock, recovery_s):
    breaker = Breaker(counts=lambda _: True, recovery_s=recovery_s, clock=clock)
    fail(breaker, 5)
    clock.now_s = recovery_s * 0.99
    with pytest.raises(CircuitOpenError):
        breaker.call(pytest.fail)
    clock.now_s = recovery_s
    succeed(breaker)
    assert breaker.state is State.HALF_OPEN


def test_two_successes_close_it_again(breaker, clock):
    fail(breaker, 5)
    clock.now_s = 1.0
    succeed(breaker)
    assert breaker.state is State.HALF_OPEN
    succeed(breaker)
    assert breaker.state is State.CLOSED


def test_a_failure_while_trying_opens_it_for_another_recovery_time(breaker, clock):
    fail(breaker, 5)
    clock.now_s = 1.0
    succeed(breaker)
    fail(breaker)
    clock.now_s = 1.9
    with pytest.raises(CircuitOpenError):
        breaker.call(pytest.fail)


def test_while_trying_only_one_call_goes_through(breaker, clock):
    fail(breaker, 5)
    clock.now_s = 1.0
    inside, go_on = Event(), Event()
    with ThreadPoolExecutor(1) as thread:
        trial = thread.submit(breaker.call, lambda: inside.set() or go_on.wait(10))
        inside.wait(10)
        with pytest.raises(CircuitOpenError):
            breaker.call(pytest.fail)
        go_on.set()
        assert trial.result()


def test_calls_do_not_wait_for_each_other(breaker):
    together = Barrier(4, timeout=10)  # breaks unless four are inside at once
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: breaker.call(together.wait), range(4)))


def test_a_model_that_fails_does_not_take_the_others_along(planner, llm_mock):
    llm_mock.faults(kind="status", status=503, model="phi3")
    for number in range(3):
        with pytest.raises((httpx.HTTPStatusError, CircuitOpenError)):
            planner.plan(f"Move to waypoint {number}", "phi3")
        assert planner.plan(f"Move to waypoint {number}", "gpt4")["action"] == "move"
        assert planner.plan(f"Move to waypoint {number}", "claude")["action"] == "move"
    states = {model: planner.breakers.of(model).state for model in ("phi3", "gpt4", "claude")}
    assert states == {"phi3": State.OPEN, "gpt4": State.CLOSED, "claude": State.CLOSED}


def test_an_open_circuit_ends_the_retries(server, llm_mock, clock):
    llm_mock.faults(kind="status", status=503)
    planner = build(server.ask, attempts=50, clock=clock, sleep=clock.sleep, recovery_s=60)
    with pytest.raises(CircuitOpenError):
        planner.plan("Hold position", "phi3")
    assert len(llm_mock.requests) == 5


def test_after_the_outage_the_planner_recovers_by_itself(planner, llm_mock, clock):
    llm_mock.faults(kind="status", status=503, times=6)
    with pytest.raises(httpx.HTTPStatusError):
        planner.plan("Hold position", "phi3")
    with pytest.raises(CircuitOpenError):
        planner.plan("Hold position", "phi3")
    clock.now_s += 1.0
    with pytest.raises(CircuitOpenError):
        planner.plan("Hold position", "phi3")  # the sixth failure, and the circuit is open again
    clock.now_s += 1.0
    assert planner.plan("Hold position", "phi3") == {"action": "defend"}
    assert planner.plan("Hold fire", "phi3") == {"action": "defend"}
    assert planner.breakers.of("phi3").state is State.CLOSED


def test_a_status_that_is_the_clients_fault_does_not_open_it(planner, llm_mock):
    llm_mock.faults(kind="status", status=400)
    for number in range(10):
        with pytest.raises(httpx.HTTPStatusError) as raised:
            planner.plan(f"Move to waypoint {number}", "phi3")
        assert not is_transient(raised.value)
    assert planner.breakers.of("phi3").state is State.CLOSED
