"""Retries and circuit breakers of user code, by the libraries that users take, against the mock's faults."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import httpx
import pybreaker
import pytest
import tenacity

from pytest_llmperf.mock.process import start_mock

BACKOFF_S = (0.05, 0.1, 0.2, 0.4, 0.5)
JITTER = 0.25
OPEN_S = 0.1


@pytest.fixture(scope="module")
def mock():
    with start_mock({"models": ["phi3", "gpt4"], "latency": {"ttft": "0ms", "itl": "0ms"}}) as server:
        yield server


@pytest.fixture
def ask(mock):
    """Ask a model once; an answer other than 2xx is raised."""
    mock.reset()
    with httpx.Client(base_url=mock.url) as client:

        def ask(model="phi3"):
            messages = [{"role": "user", "content": "merhaba"}]
            answer = client.post("/chat/completions", json={"model": model, "messages": messages})
            answer.raise_for_status()
            return answer.json()["choices"][0]["message"]["content"]

        yield ask


def retrying(*, sleep=time.sleep, seed=0):
    """Back-off of 50 ms, doubled up to 500 ms, each 25 % more or less."""
    rng = random.Random(seed)
    exponential = tenacity.wait_exponential(multiplier=0.05, max=0.5)
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(6),
        retry=tenacity.retry_if_exception_type(httpx.HTTPStatusError),
        wait=lambda state: exponential(state) * rng.uniform(1 - JITTER, 1 + JITTER),
        sleep=sleep,
        reraise=True,
    )


def breaker(*, open_s=60.0):
    return pybreaker.CircuitBreaker(fail_max=5, reset_timeout=open_s, success_threshold=2)


def failures(protected, ask, times, **asked):
    """Call *times* times; how often it ended in an error."""
    failed = 0
    for _ in range(times):
        try:
            protected.call(ask, **asked)
        except (httpx.HTTPStatusError, pybreaker.CircuitBreakerError):
            failed += 1
    return failed


def test_a_retry_outlives_faults_that_end(mock, ask):
    mock.faults(kind="status", status=503, times=5)
    slept = []
    assert retrying(sleep=slept.append)(ask)
    assert [request.status for request in mock.requests] == [503] * 5 + [200]


@pytest.mark.parametrize("seed", range(5))
def test_back_off_is_50_100_200_400_500_ms_give_or_take_a_quarter(mock, ask, seed):
    mock.faults(kind="status", status=503)
    slept = []
    with pytest.raises(httpx.HTTPStatusError):
        retrying(sleep=slept.append, seed=seed)(ask)
    assert len(slept) == len(BACKOFF_S)
    for real, planned in zip(slept, BACKOFF_S, strict=True):
        assert (1 - JITTER) * planned <= real <= (1 + JITTER) * planned
    assert slept != list(BACKOFF_S)


def test_the_server_sees_the_back_off_between_attempts(mock, ask):
    mock.faults(kind="rate_limit", times=2)
    slept = []
    retrying(sleep=lambda pause_s: (slept.append(pause_s), time.sleep(pause_s)))(ask)
    arrived = [request.arrived_s for request in mock.requests]
    gaps = [later - earlier for earlier, later in pairwise(arrived)]
    assert [gap >= pause_s for gap, pause_s in zip(gaps, slept, strict=True)] == [True, True]


def test_what_is_not_worth_a_retry_is_not_retried(mock, ask):
    mock.faults(kind="reset")
    with pytest.raises(httpx.TransportError):
        retrying(sleep=lambda _: None)(ask)
    assert len(mock.requests) == 1


def test_a_circuit_opens_after_five_failures_and_spares_the_server(mock, ask):
    mock.faults(kind="status", status=500)
    protected = breaker()
    assert failures(protected, ask, 4) == 4
    assert protected.current_state == "closed"
    assert failures(protected, ask, 6) == 6
    assert protected.current_state == "open"
    assert len(mock.requests) == 5


def test_four_failures_and_a_success_do_not_open_it(mock, ask):
    mock.faults(kind="status", status=500, times=4)
    protected = breaker()
    failures(protected, ask, 5)
    mock.faults(kind="status", status=500, times=4)
    failures(protected, ask, 4)
    assert protected.current_state == "closed"


def test_after_its_timeout_a_circuit_is_half_open_and_closes_after_two_successes(mock, ask):
    mock.faults(kind="status", status=500, times=5)
    protected = breaker(open_s=OPEN_S)
    failures(protected, ask, 5)
    assert protected.current_state == "open"
    time.sleep(OPEN_S + 0.02)
    protected.call(ask)
    assert protected.current_state == "half-open"
    protected.call(ask)
    assert protected.current_state == "closed"
    assert [request.status for request in mock.requests] == [500] * 5 + [200, 200]


def test_a_failure_while_half_open_opens_it_again(mock, ask):
    mock.faults(kind="status", status=500, times=6)
    protected = breaker(open_s=OPEN_S)
    failures(protected, ask, 5)
    time.sleep(OPEN_S + 0.02)
    assert failures(protected, ask, 1) == 1
    assert protected.current_state == "open"


def test_circuits_are_isolated_by_model(mock, ask):
    mock.faults(kind="status", status=500, model="phi3")
    circuits = {model: breaker() for model in ("phi3", "gpt4")}
    failed = {model: failures(circuits[model], ask, 8, model=model) for model in circuits}
    assert failed == {"phi3": 8, "gpt4": 0}
    assert [circuits[model].current_state for model in circuits] == ["open", "closed"]
    asked = [request.json["model"] for request in mock.requests]
    assert (asked.count("phi3"), asked.count("gpt4")) == (5, 8)


def test_an_outage_has_a_time_and_ends(mock, ask):
    mock.faults(kind="status", status=503, until="1s")
    with pytest.raises(httpx.HTTPStatusError):
        ask()
    time.sleep(1)
    assert ask()


def test_a_retry_stops_at_an_open_circuit(mock, ask):
    """Or every retry of every caller would go on hammering a server that is down."""
    mock.faults(kind="status", status=500)
    protected = breaker()
    with pytest.raises(pybreaker.CircuitBreakerError):
        retrying(sleep=lambda _: None)(lambda: protected.call(ask))
    assert len(mock.requests) == 5
