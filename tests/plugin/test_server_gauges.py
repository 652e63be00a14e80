"""How busy the server says it is, through pytest: peak and mean, and second by second."""

from __future__ import annotations

import re
from functools import partial

import pytest

from pytest_llmperf.client.pages import Pages, UnreadableError
from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.probes import resources
from pytest_llmperf.probes.gauges import Gauges

LOAD = """
from pytest_llmperf import llm_load

@llm_slo(p95_ms=60_000)
@llm_load({profile})
async def test_chat(async_llm):
    await async_llm.chat("merhaba")
"""

#: Two at a time, each for 1.1 s: of four two wait, also when the first second ends, then none.
CROWDED = """
version: 1
defaults: {warmup: 0}
mock: {latency: {ttft: "constant(1100ms)", itl: "constant(0ms)"}, capacity: {running: 2, kv_tokens: 100}}
"""


#: Seconds between two looks: on a busy machine the queue is gone before the first that a user's run takes.
OFTEN_S = 0.05


@pytest.fixture
def crowded(project, monkeypatch):
    monkeypatch.setattr(resources, "Gauges", partial(Gauges, every_s=OFTEN_S))
    project.write("slo.yaml", CROWDED)
    return project


@pytest.mark.parametrize("processes", [1, 2])
def test_a_load_shows_the_servers_queue_beside_its_own(crowded, processes):
    crowded.test(LOAD.format(profile="users=4, iterations=1"))
    session = crowded.run(
        f"--llm-processes={processes}", "-v", "--llm-report=run.md", "--llm-report=run.html"
    )
    assert session.exit == 0, session.text
    scenario = session.scenario()
    usage, line = scenario["resources"]["usage"], scenario["load"]["timeline"]
    assert scenario["load"]["processes"] == processes
    names = ("server_running", "server_waiting", "kv_cache_percent")
    assert [usage[name]["peak"] for name in names] == [2, 2, 6]  # of two prompts in the cache
    assert [max(one or 0 for one in line[name]) for name in names] == [2, 2, 6]
    assert {len(line[name]) for name in names} == {len(line["users"])}
    # one reader for all processes
    assert usage["server_waiting"]["n"] <= scenario["resources"]["seconds"] / OFTEN_S + 1
    used = r"running requests [\d.]+ \(peak 2\), waiting requests [\d.]+ \(peak 2\), KV cache [\d.]+ %"
    assert re.search(used, session.line("used: server CPU"))
    assert re.search(used, (crowded.path / "run.md").read_text("utf-8"))
    page = (crowded.path / "run.html").read_text("utf-8")
    assert re.search(r'<th scope="row">server waiting requests</th><td>[\d.]+</td><td>2</td>', page)
    assert re.search(r'"server_waiting":\s*\[[^]]*2\.0', page)


def test_a_mix_is_looked_at_once(crowded):
    crowded.test(
        """
        from pytest_llmperf import llm_load

        @llm_slo(p95_ms=60_000)
        @llm_load(mix="door", weight=3, users=4, iterations=1)
        async def test_one(async_llm):
            await async_llm.chat("merhaba")

        @llm_slo(p95_ms=60_000)
        @llm_load(mix="door", weight=1)
        async def test_other(async_llm):
            await async_llm.chat("merhaba")
        """
    )
    session = crowded.run("--llm-gate=off")
    one, other = (session.scenario(name) for name in ("test_one", "test_other"))
    assert one["resources"]["usage"]["server_waiting"] == other["resources"]["usage"]["server_waiting"]
    assert one["resources"]["usage"]["server_waiting"]["peak"] == 2
    assert all(2 in member["load"]["timeline"]["server_waiting"] for member in (one, other))


def test_a_server_that_tells_nothing_is_not_spoken_of(project):
    project.test(LOAD.format(profile="users=2, duration='0.7s'"))
    with start_mock({"dialect": "openai", "latency": {"ttft": "constant(9ms)"}}) as server:
        session = project.run("-v", "--llm-backend=openai", f"--llm-url={server.url}", "--llm-model=mock")
    scenario = session.scenario()
    assert not [name for name in scenario["resources"]["usage"] if name.startswith(("server_", "kv_"))]
    assert not [name for name in scenario["resources"]["missing"] if name.startswith(("server_", "kv_"))]
    assert scenario["load"]["timeline"]["server_waiting"] == []
    assert "server's /metrics" not in session.text


def test_a_page_that_does_not_come_is_a_warning_and_told_once(crowded, monkeypatch):
    def read(*_, **__):
        raise UnreadableError("no answer")

    monkeypatch.setattr(Pages, "read", read)
    load = LOAD.format(profile="users=2, duration='0.7s'")
    crowded.test(load + load.replace("test_chat", "test_more"))
    session = crowded.run()
    assert session.outcomes() == {"passed": 2}
    told = session.line("the server's /metrics could not be read")
    assert told.startswith("warning: ")
    assert "no answer (test_chat, test_more)" in re.sub(r"\s+", " ", session.text)
