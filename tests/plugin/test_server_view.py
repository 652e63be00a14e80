"""The server's own view of a scenario, through pytest."""

from __future__ import annotations

import re

import pytest

from pytest_llmperf.mock.process import start_mock

FOUR_AT_ONCE = """
import asyncio

@llm_slo(p95_ms=5000, iterations=30, max_iterations=30, warmup=1)
async def test_chat(async_llm):
    await asyncio.gather(*(async_llm.chat("merhaba") for _ in range(4)))
"""

ONE = """
@llm_slo(p95_ms=5000, iterations=5, max_iterations=5, warmup=2)
def test_chat(llm):
    llm.chat("merhaba")
"""


def settings(*, ttft_ms=4, **capacity):
    inside = ", ".join(f"{name}: {value}" for name, value in capacity.items())
    latency = f"{{ttft: 'constant({ttft_ms}ms)', itl: 'constant(1ms)'}}"
    return f"mock: {{latency: {latency}, capacity: {{{inside}}}}}\n"


def test_the_servers_sums_are_of_the_measured_requests_only(project):
    project.write("slo.yaml", settings(prefix_cache="true"))
    project.test(ONE.replace("merhaba", "merhaba " * 30))
    view = project.run().scenario()["server"]
    assert view["sources"] == ["vllm /metrics"]
    assert view["requests"] == view["e2e"]["count"] == 5
    assert view["prefill"]["mean_s"] == pytest.approx(0.004, rel=0.01)
    assert view["cache_hits"] >= 0.8 * view["cache_queries"]
    assert view["others"] == 0


def test_looking_at_the_server_is_no_request_of_the_user(project):
    project.test(
        """
        @llm_slo(p95_ms=5000, iterations=3, max_iterations=3, warmup=1)
        def test_chat(llm, llm_mock):
            llm.chat("merhaba")
            assert {request.path for request in llm_mock.requests} == {"/v1/chat/completions"}
        """
    )
    session = project.run()
    assert session.exit == 0, session.text


def test_a_queue_at_the_server_is_a_warning(project):
    project.write("slo.yaml", settings(running=1))
    project.test(FOUR_AT_ONCE)
    session = project.run("--llm-iterations=4", "--llm-max-iterations=4")
    assert "in the server's queue on average" in session.line("requests waited")


def spent(session):
    """How it is told, and in which part of its time the server became slower."""
    told = r"(the server spent it|the added time was spent) (in the queue|reading the prompt|generating)"
    return set(re.findall(told, session.text))


def test_a_regression_that_is_only_a_queue_is_told_from_a_slower_model(project):
    project.write("slo.yaml", settings(ttft_ms=20, running=4))
    project.test(FOUR_AT_ONCE)
    assert project.run("--save-baseline", "--llm-iterations=15").exit == 0
    project.write("slo.yaml", settings(ttft_ms=20, running=1))
    session = project.run("--llm-iterations=15")
    # In one way only: to explain what is proven, or beside the numbers, where a busy machine lets nothing be.
    ((_, where),) = spent(session)
    assert where == "in the queue"
    (compared,) = session.scenario()["compared_with"]
    assert compared["server"]["queue"]["mean_s"] < session.scenario()["server"]["queue"]["mean_s"] / 4


def test_a_slower_model_is_told_from_a_queue(project):
    project.write("slo.yaml", settings())
    project.test(ONE)
    project.run("--save-baseline", "--llm-iterations=12")
    project.write("slo.yaml", settings(ttft_ms=100))
    session = project.run("--llm-iterations=12", "--llm-max-iterations=12")
    assert {where for _, where in spent(session)} == {"reading the prompt"}
    assert re.search(r"4 ms (before|then)(,| and) 100 ms now", session.text)


def test_the_other_arm_has_a_view_of_its_own(project):
    project.write("slo.yaml", settings())
    project.test(ONE)
    with start_mock({"latency": {"ttft": "constant(20ms)"}}) as other:
        scenario = project.run(f"--llm-ab={other.url}").scenario()
    assert scenario["server"]["prefill"]["mean_s"] == pytest.approx(0.004, rel=0.01)
    (base,) = scenario["compared_with"]
    assert base["server"]["prefill"]["mean_s"] == pytest.approx(0.02, rel=0.01)


def test_a_server_that_tells_nothing_is_asked_once_and_costs_nothing(project):
    project.test(ONE + ONE.replace("test_chat", "test_other"))
    with start_mock({"dialect": "openai", "latency": {"ttft": "constant(1ms)"}}) as server:
        session = project.run("--llm-backend=openai", f"--llm-url={server.url}", "--llm-model=mock")
    assert session.exit == 0, session.text
    assert [one["server"] for one in session.report["scenarios"]] == [None, None]


def test_a_cold_start_that_was_measured_is_a_warning(project):
    project.test(ONE.replace("warmup=2", "warmup=0"))
    with start_mock(
        {"dialect": "ollama", "latency": {"ttft": "constant(2ms)", "cold_start": "300ms"}}
    ) as server:
        session = project.run("--llm-backend=ollama", f"--llm-url={server.url}")
    assert "cold starts: 1 measured requests waited 300 ms on average" in session.text
    view = session.scenario()["server"]
    assert view["sources"] == ["answers"]
    assert view["load"]["count"] == 1
    assert view["decode"]["count"] == 5


def test_a_server_that_others_use_too_is_a_warning(project):
    project.test(
        """
        import urllib.request, json

        @llm_slo(p95_ms=5000, iterations=5, max_iterations=5, warmup=0)
        def test_chat(llm):
            llm.chat("merhaba")
            body = json.dumps({"model": llm.model, "messages": [{"role": "user", "content": "x"}]}).encode()
            kind = {"Content-Type": "application/json"}
            urllib.request.urlopen(urllib.request.Request(f"{llm.url}/chat/completions", body, kind)).read()
        """
    )
    assert "finished 10 requests meanwhile, 5 of this scenario" in project.run().text


def test_pooled_items_pool_their_views(project):
    project.test(
        """
        @pytest.mark.parametrize("word", ["bir", "iki"])
        @llm_slo(p95_ms=5000, iterations=5, warmup=1, scenario="both")
        def test_chat(llm, word):
            llm.chat(word)
        """
    )
    assert project.run().scenario("both")["server"]["requests"] == 10


def test_verbose_output_and_reports_show_the_view(project):
    project.write("slo.yaml", settings())
    project.test(ONE)
    session = project.run("-v", "--llm-report=run.md", "--llm-report=run.html")
    assert "prefill 4 ms" in session.line("at the server, on average")
    assert "prefill 4 ms" in (project.path / "run.md").read_text("utf-8")
    assert "At the server" in (project.path / "run.html").read_text("utf-8")
