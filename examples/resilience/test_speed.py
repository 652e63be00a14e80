"""What each part costs: pytest-benchmark takes the rounds, the limits and the baseline judge them."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from planner import (
    Breaker,
    PromptCache,
    Server,
    Telemetry,
    back_off_s,
    build,
    is_transient,
    key_of,
    normalised,
)
from planner.client import checked
from pytest_llmperf import llm_slo
from workload import workload

MODEL = "phi3"
PROMPT = (
    "Attack  the nearest\tenemy, unless it is stronger than you are, in which case retreat to waypoint A. "
    * 5
)


@llm_slo(p99_us=1000)
def test_cache_hit(benchmark):
    cache = PromptCache(100)
    cache.put(key_of(PROMPT, MODEL), {"action": "wait"})
    benchmark(lambda: cache.get(key_of(PROMPT, MODEL)))


@llm_slo(p50_us=100)
def test_prompt_normalisation(benchmark):
    benchmark(normalised, PROMPT)


@llm_slo(p50_us=100)
def test_cache_key(benchmark):
    benchmark(key_of, PROMPT, MODEL)


@llm_slo(p50_us=100)
def test_eviction(benchmark):
    cache, numbers = PromptCache(100), count()
    benchmark(lambda: cache.put(next(numbers), "answer"))  # full after a hundred: every call evicts one


@llm_slo(p50_ms=100)
def test_a_thousand_requests_to_the_cache(benchmark):
    prompts = workload(Random(1))

    def use():
        cache = PromptCache(100)
        for prompt in prompts:
            if cache.get(key := key_of(prompt, MODEL)) is None:
                cache.put(key, "answer")

    benchmark(use)


@llm_slo(p50_us=50)
def test_telemetry_of_one_request(benchmark):
    telemetry = Telemetry()
    benchmark(lambda: (telemetry.count("requests"), telemetry.count("answered"), telemetry.count("ms", 52)))


@llm_slo(p50_us=50)
def test_back_off_of_five_attempts(benchmark):
    rng = Random(0)
    benchmark(lambda: [back_off_s(attempt, rng) for attempt in range(1, 6)])


@llm_slo(p50_us=50)
def test_breaker_check(benchmark):
    breaker = Breaker(counts=is_transient)
    benchmark(breaker.enter)


@llm_slo(p50_us=500)
def test_everything_around_the_model(benchmark):
    planner, numbers = build(lambda _prompt, _model: '{"action": "wait"}'), count()
    benchmark(lambda: planner.plan(f"Hold position {next(numbers)}", MODEL))


@llm_slo(p50_us=200)
def test_validation(benchmark):
    benchmark(checked, '{"action": "move", "to": "A"}')


# End to end, over a socket to the selected backend. On the mock the model takes as long as the test says.


@pytest.fixture
def planner(llm):
    server = Server(llm.url)
    yield build(server.ask)
    server.close()


@llm_slo(steps={"plan": {"p99_ms": 1}}, iterations=200)
def test_plan_from_the_cache(llm, llm_timer, planner):
    with llm_timer("plan"):
        planner.plan(PROMPT, llm.model)


@llm_slo(iterations=10, max_iterations=20, warmup=2)
@pytest.mark.parametrize(
    "model_takes",
    [
        pytest.param("10ms", marks=llm_slo(steps={"plan": {"p50_ms": 40}})),
        pytest.param("50ms", marks=llm_slo(steps={"plan": {"p50_ms": 80}})),
        pytest.param("100ms", marks=llm_slo(steps={"plan": {"p50_ms": 140}})),
        pytest.param("200ms", marks=llm_slo(steps={"plan": {"p50_ms": 260}})),
    ],
)
def test_plan_from_the_model(llm, llm_timer, planner, numbers, model_takes):
    with llm_timer("plan"):
        planner.plan(f"Move to waypoint {next(numbers)}", llm.model)


@pytest.fixture
def numbers(llm, request, model_takes):
    """Numbers the prompts, so that none is in the cache; on the mock sets the latency, once for the test."""
    if llm.backend == "mock":
        request.getfixturevalue("llm_mock").latency(ttft=f"constant({model_takes})")
    elif model_takes != "10ms":
        pytest.skip("a real model takes its own time: measured once")
    return count()
