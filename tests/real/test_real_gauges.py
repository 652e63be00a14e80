"""How busy servers that we did not write say they are, while they are under load."""

from __future__ import annotations

import pytest
from sessions import run

pytestmark = pytest.mark.real

LOAD = """
from pytest_llmperf import llm_load, llm_slo

@llm_slo(p95_ms=60_000, success_rate=0.9)
@llm_load(users=24, duration="6s", graceful_stop="60s")
async def test_chat(async_llm):
    await async_llm.chat("Bugün neler yapacağız?", max_tokens=64, temperature=0)
"""
#: How many each can run at once, as it is started here; None: it tells nothing.
PLACES = {"transformers": None, "vllm": 16, "llama": 4}


def test_a_server_under_load_tells_who_runs_and_who_waits(server, tmp_path):
    session = run(server, tmp_path, LOAD)
    [scenario] = session.scenarios.values()
    usage, line = scenario["resources"]["usage"], scenario["load"]["timeline"]
    places = PLACES[server.name]
    if places is None:
        assert "server_running" not in usage
        assert line["server_running"] == []
        return
    assert usage["server_running"]["peak"] == places
    assert places < usage["server_running"]["peak"] + usage["server_waiting"]["peak"] <= 24
    assert usage["server_waiting"]["n"] >= 5
    assert len([one for one in line["server_waiting"] if one is not None]) >= 5
    assert ("kv_cache_percent" in usage) == (server.name == "vllm")
    assert "could not be read" not in session.output
