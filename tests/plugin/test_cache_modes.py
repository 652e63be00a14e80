"""``--llm-cache``: as they are, cold, warm, and both in turns."""

from __future__ import annotations

import json

import pytest

from pytest_llmperf.mock.process import start_mock

LONG = "bugün neler yapacağız " * 20

TEST = f"""
@llm_slo(p95_ms=5000, iterations=10, max_iterations=10, warmup=1)
def test_chat(llm):
    llm.chat({LONG!r})
"""

SEEN = f"""
import json, pathlib

@llm_slo(p95_ms=5000, iterations=4, max_iterations=4, warmup=0)
def test_chat(llm, llm_mock):
    llm.chat({LONG!r}, system="Kısa cevap ver.")
    llm.chat([{{"role": "user", "content": {LONG!r}}}])
    llm.complete({LONG!r})
    bodies = [request.body for request in llm_mock.requests if request.method == "POST"]
    pathlib.Path(SEEN).write_text(json.dumps(bodies))
"""


@pytest.fixture
def cached(project):
    """A project whose mock has a prefix cache, and reads prompts slowly."""
    latency = "{ttft: 'constant(2ms)', itl: 'constant(0ms)', prefill: '300us'}"
    project.write("slo.yaml", f"mock: {{latency: {latency}, capacity: {{prefix_cache: true}}}}\n")
    project.test(TEST)
    return project


def test_a_repeated_prompt_that_the_cache_serves_is_a_warning(cached):
    session = cached.run()
    line = session.line("requests repeated a prompt")
    assert "9 requests repeated a prompt, and 9 of them came from the server's prefix cache" in line
    assert session.scenario()["cache"] == {
        "told": 10,
        "hits": 10,
        "repeated": 9,
        "repeated_hits": 9,
        "savings": [],
    }
    assert session.scenario()["facts"]["cache mode"] == "as-is"


def test_prompts_of_different_cases_are_no_repetition(cached):
    cached.test(
        """
        @llm_slo(p95_ms=5000, iterations=3, max_iterations=3, warmup=0, cases=["a" * 90, "b" * 90, "c" * 90])
        def test_chat(llm, llm_case):
            llm.chat(llm_case)
        """
    )
    assert "repeated a prompt" not in cached.run().text


def test_cold_prompts_miss_the_cache_and_cost_the_same_tokens_each(cached):
    session = cached.run("--llm-cache=cold")
    scenario = session.scenario()
    assert scenario["cache"]["hits"] == 0
    assert scenario["facts"]["cache mode"] == scenario["slo"]["cache"] == "cold"
    assert len(set(scenario["series"]["input_tokens"])) == 1
    assert "prefix cache" not in session.text
    assert scenario["server"]["cache_hits"] == 0


def test_cold_prompts_miss_the_cache_of_a_server_that_saw_the_session_before(cached):
    with start_mock({"capacity": {"prefix_cache": True}, "latency": {"ttft": "constant(1ms)"}}) as server:
        where = ["--llm-backend=vllm", f"--llm-url={server.url}", "--llm-cache=cold", "--llm-seed=7"]
        first, second = cached.run(*where).scenario(), cached.run(*where).scenario()
    assert (first["cache"]["hits"], second["cache"]["hits"]) == (0, 0)


@pytest.mark.parametrize("mode", ["as-is", "cold"])
def test_only_cold_prompts_are_changed_and_only_at_their_head(cached, mode):
    cached.test(SEEN.replace("SEEN", repr(str(cached.path / "seen.json"))))
    session = cached.run(f"--llm-cache={mode}")
    assert session.exit == 0, session.text
    bodies = [
        json.loads(body) if isinstance(body, str) else body
        for body in json.loads((cached.path / "seen.json").read_text())
    ]
    heads = set()
    for body in bodies:
        messages = body.get("messages", [{"content": body.get("prompt")}])
        head, *rest = (message["content"] for message in messages)
        ends = "Kısa cevap ver." if rest else LONG
        assert head.endswith(ends)
        heads.add(head.removesuffix(ends))
        assert rest in ([], [LONG])
    assert len(heads) == (len(bodies) if mode == "cold" else 1)
    assert heads == {""} or all(head.startswith("[id ") and head.endswith("]\n") for head in heads)


def test_warm_prompts_were_served_before_also_those_of_cases(cached):
    cached.test(
        """
        @llm_slo(p95_ms=5000, iterations=9, max_iterations=9, warmup=0, cache="warm",
                 cases=["a" * 90, "b" * 90, "c" * 90])
        def test_chat(llm, llm_case, llm_mock):
            llm.chat(llm_case)
            count = sum(request.method == "POST" for request in llm_mock.requests)
            __import__("pathlib").Path("count").write_text(str(count))
        """
    )
    session = cached.run()
    assert session.scenario()["cache"]["hits"] == 9
    assert session.scenario()["facts"]["cache mode"] == "warm"
    assert (cached.path / "count").read_text() == "12"  # each case once, unmeasured
    assert "warning" not in session.text


def test_warm_prompts_without_a_hit_are_a_warning(project):
    project.test(TEST)
    assert "10 of 10 warm requests found nothing in the server's prefix cache" in project.run(
        "--llm-cache=warm"
    ).line("warm requests")


def test_cold_prompts_that_are_served_from_a_cache_are_a_warning(cached):
    cached.test(
        f"""
        @llm_slo(p95_ms=5000, iterations=3, max_iterations=3, warmup=0, cache="cold")
        def test_chat(llm, monkeypatch):
            from pytest_llmperf.core import cold
            monkeypatch.setattr(cold.Marks, "__call__", lambda marks: "[id 000000000]")
            llm.chat({LONG!r})
        """
    )
    assert "2 of 3 cold requests were partly served" in cached.run().line("cold requests")


def test_both_judges_warm_prompts_and_reports_the_saving(cached):
    session = cached.run(
        "--llm-cache=both", "--llm-report=cache-savings=cache_savings.md", "--llm-report=r.html"
    )
    scenario = session.scenario()
    savings = {one["metric"]: one for one in scenario["cache"]["savings"]}
    assert savings["ttft"]["ratio"] < 0.6
    assert savings["ttft"]["warm_s"] < savings["ttft"]["cold_s"]
    assert scenario["cache"]["hits"] == session.n() == 10
    assert scenario["facts"]["cache mode"] == "warm"
    assert scenario["compared_with"] == []
    assert session.text.count("the prefix cache saves") == 2
    page = (cached.path / "cache_savings.md").read_text("utf-8")
    assert "| <code>test_chat</code> | ttft p50 |" in page
    assert "Cold and warm prompts" in (cached.path / "r.html").read_text("utf-8")


def test_both_works_for_async_tests_and_for_pooled_items(cached):
    cached.test(
        f"""
        @pytest.mark.parametrize("word", ["bir ", "iki "])
        @llm_slo(p95_ms=5000, iterations=5, warmup=1, scenario="pool", cache="both")
        async def test_chat(async_llm, word):
            await async_llm.chat(word + {LONG!r})
        """
    )
    scenario = cached.run().scenario("pool")
    assert scenario["cache"]["savings"][0]["n"] == 10
    assert scenario["cache"]["hits"] == 10


def test_a_baseline_of_warm_prompts_is_not_compared_with_cold_ones(cached):
    assert cached.run("--llm-cache=warm", "--save-baseline", "--llm-iterations=10").exit == 0
    session = cached.run("--llm-cache=cold")
    assert "cache mode: warm then, cold now" in session.scenario()["reason"]
    assert "cache mode" not in cached.run("--llm-cache=both").scenario()["reason"]


def test_both_and_another_arm_contradict_each_other(cached):
    session = cached.run("--llm-cache=both", "--llm-ab=mock")
    assert session.exit == 1
    assert "--llm-ab and --llm-cache=both: one or the other" in session.text


def test_an_unknown_mode_is_a_usage_error(cached):
    result = cached.pytester.runpytest_inprocess("-p", "llmperf", "--llm-cache=lukewarm")
    result.stderr.fnmatch_lines("*--llm-cache: 'lukewarm': *is not one of as-is, cold, warm, both*")


def test_a_page_without_savings_says_how_to_get_them(cached):
    cached.run("--llm-report=cache-savings=none.md")
    assert "`pytest --llm-cache=both` does" in (cached.path / "none.md").read_text("utf-8")
