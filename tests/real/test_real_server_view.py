"""What servers that we did not write tell about themselves, and what their prefix caches do."""

from __future__ import annotations

import pytest
from sessions import run

pytestmark = pytest.mark.real

N = 8
ONE = f"""
from pytest_llmperf import llm_slo

PROMPT = "Bugün neler yapacağız, hangi toplantılar var? " * 12

@llm_slo(p50_ms=60_000, iterations={N}, max_iterations={N}, warmup=1)
def test_one(llm):
    llm.chat(PROMPT, max_tokens=16, temperature=0)
"""
AT_ONCE = """
import asyncio
from pytest_llmperf import llm_slo

@llm_slo(p50_ms=60_000, iterations=4, max_iterations=4, warmup=1)
async def test_many(async_llm):
    await asyncio.gather(*(async_llm.chat(f"{n} merhaba", max_tokens=16, temperature=0) for n in range(6)))
"""
SOURCES = {
    "transformers": None,
    "vllm": ["vllm /metrics"],
    "llama": ["llama.cpp /metrics", "answers"],  # which counts tokens on the one and times in the other
}


@pytest.fixture
def told(server):
    """Only servers that tell something."""
    if SOURCES[server.name] is None:
        pytest.skip(f"{server.name} tells nothing about itself")
    return server


@pytest.mark.parametrize(("tests", "requests"), [(ONE, N), (AT_ONCE, 24)], ids=["one", "many"])
def test_the_servers_view_agrees_with_what_the_client_saw(told, tmp_path, tests, requests):
    [scenario] = run(told, tmp_path, tests).scenarios.values()
    view, tokens = scenario["server"], scenario["tokens"]
    assert view["sources"] == SOURCES[told.name]
    assert (view["prompt_tokens"], view["output_tokens"]) == (tokens["input"], tokens["output"])
    assert view["cache_queries"] == view["prompt_tokens"]
    assert 0 <= view["cache_hits"] < view["cache_queries"]
    assert view["prefill"]["count"] == view["decode"]["count"] == requests
    mean_s = sum(scenario["series"]["latency_s"]) / requests
    assert 0 < view["prefill"]["mean_s"] + view["decode"]["mean_s"] <= mean_s
    if told.name == "vllm":
        assert view["requests"] == view["e2e"]["count"] == view["queue"]["count"] == requests
        assert view["prefill"]["mean_s"] < view["ttft"]["mean_s"] <= view["e2e"]["mean_s"] <= mean_s
    assert (view["others"], view["restarted"]) == (0, False)


def test_a_cold_run_has_no_hits_and_a_warm_one_has_them(told, tmp_path):
    for mode, hits in {"cold": 0, "warm": N, "as-is": N, "cold ": 0}.items():
        session = run(told, tmp_path, ONE, f"--llm-cache={mode.strip()}")
        [scenario] = session.scenarios.values()
        assert (scenario["cache"]["told"], scenario["cache"]["hits"]) == (N, hits), mode
        rate = scenario["server"]["cache_hits"] / scenario["server"]["cache_queries"]
        assert rate > 0.5 if hits else rate < 0.1, mode
        assert ("requests repeated a prompt" in session.output) == (mode == "as-is")


def test_both_modes_in_turns_tell_a_saving_or_that_there_is_none(told, tmp_path):
    session = run(told, tmp_path, ONE, "--llm-cache=both")
    [scenario] = session.scenarios.values()
    assert scenario["cache"]["hits"] == scenario["requests"]["sent"] == N
    savings = {one["metric"]: one for one in scenario["cache"]["savings"]}
    assert set(savings) == {"ttft", "latency"}
    for metric, one in savings.items():
        proven = one["low"] > 1 or (one["high"] is not None and one["high"] < 1)
        words = ("saves", "costs") if proven else ("has no proven effect on",)
        lines = [line for line in session.output.splitlines() if "the prefix cache " in line]
        name = "TTFT" if metric == "ttft" else metric
        assert any(name in line and any(word in line for word in words) for line in lines), lines


def test_a_server_that_tells_nothing_is_said_to_tell_nothing(server, tmp_path):
    if SOURCES[server.name] is not None:
        pytest.skip(f"{server.name} tells")
    session = run(server, tmp_path, ONE, "--llm-cache=cold")
    [scenario] = session.scenarios.values()
    assert scenario["server"] is None
    assert scenario["cache"]["told"] == 0
    assert "so nobody knows whether cold prompts were cold" in session.output.replace("\n", " ")
