"""The fixtures against the real mock server, which answers in a millisecond."""

from __future__ import annotations

import pytest

FAST = """
version: 1
mock:
  latency: {ttft: "constant(1ms)", itl: "constant(0ms)"}
  replies:
    - {contains: [takvim], json: {route: calendar}}
    - {contains: [şiir], text: "Efendim, bir şiir"}
"""


@pytest.fixture
def project(project):
    project.write("slo.yaml", FAST)
    return project


def test_a_chat_is_measured_whole(project):
    project.test(
        """
        @llm_slo(p95_ms=2000, ttft_p95_ms=2000, json_valid=0.98, warmup=1, iterations=5, max_iterations=5)
        def test_router(llm):
            reply = llm.chat("takvimimi göster", schema={"type": "object", "required": ["route"]})
            assert reply.json["route"] == "calendar"
            assert reply.tokens.output > 0
            assert reply.ttft_ms <= reply.latency_ms
            assert llm.backend == "mock"
            assert llm.model
            assert llm.url.startswith("http://127.0.0.1:")
        """
    )
    session = project.run()
    assert session.exit == 0
    scenario = session.scenario()
    assert scenario["requests"]["sent"] == 5
    assert {"latency_s", "ttft_s", "task_s", "output_tokens"} <= set(scenario["series"])
    assert scenario["proportions"]["json_valid"] == {"successes": 5, "trials": 5}
    assert scenario["backend"] == "mock"
    assert scenario["facts"]["streaming"] == "on"


def test_a_reply_that_is_no_json_counts_once(project):
    project.test(
        """
        @llm_slo(p95_ms=2000, json_valid=0.98, warmup=0, iterations=5, max_iterations=5)
        def test_promised(llm):
            assert llm.chat("şiir oku").json["route"]

        @llm_slo(p95_ms=2000, warmup=0, iterations=5, max_iterations=5)
        def test_not_promised(llm):
            assert llm.chat("şiir oku").json["route"]
        """
    )
    session = project.run()
    assert session.exit == 1
    broken = {
        one["name"]: [check["metric"] for check in one["checks"] if check["outcome"] == "failed"]
        for one in session.report["scenarios"]
    }
    assert broken == {"test_promised": ["json_valid"], "test_not_promised": ["pass_rate"]}
    assert "the reply is not the JSON that was asked for" in session.text
    assert "pytest_llmperf/" not in session.text


def test_a_broken_promise_of_json_shows_the_first_reply_that_broke_it(project):
    project.write(
        "slo.yaml",
        """
        version: 1
        mock: {latency: {ttft: 1ms, itl: 0ms}, replies: [{contains: [plan], json: {route: calendar}}]}
        """,
    )
    project.test(
        """
        @llm_slo(json_valid=0.98, warmup=0, iterations=5, max_iterations=5)
        def test_router(llm):
            assert llm.chat("plan", stop=["}"]).json["route"]
        """
    )
    session = project.run()
    told = [line for line in session.text.splitlines() if "first invalid reply" in line]
    assert len(told) == 1
    assert """in '{"route": "calendar"' (finish_reason stop) (test_router)""" in told[0]


ASYNC = """
{mark}
{limits}
async def test_chat(async_llm):
    reply = await async_llm.chat("şiir oku")
    assert "Efendim" in reply.text

def test_nothing_is_open():
    import gc
    gc.collect()
"""

PLUGINS = {
    "none": ("", (), ()),
    "pytest-asyncio": (
        "@pytest.mark.asyncio",
        ("pytest_asyncio.plugin",),
        ("-o", "asyncio_default_fixture_loop_scope=function"),
    ),
    "anyio": ("@pytest.mark.anyio", ("anyio",), ()),
}


@pytest.mark.parametrize("limits", ["@llm_slo(p95_ms=2000, warmup=1, iterations=5, max_iterations=5)", ""])
@pytest.mark.parametrize("name", PLUGINS)
def test_the_async_fixture_leaves_nothing_open(project, name, limits):
    mark, plugins, options = PLUGINS[name]
    if not mark and not limits:
        pytest.skip("an ordinary async test needs an async plugin")
    project.write(
        "conftest.py",
        "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n",
    )
    project.test(ASYNC.format(mark=mark, limits=limits))
    session = project.run("-W", "error", *options, plugins=("llmperf", *plugins))
    assert session.outcomes() == {"passed": 2}
    assert not limits or session.n() == 5


def test_a_failed_request_is_counted_and_named(project):
    project.test(
        """
        @llm_slo(p95_ms=2000, warmup=0, iterations=6, max_iterations=6)
        def test_router(llm, llm_mock):
            llm_mock.faults(kind="status", status=503, times=1)
            llm.chat("takvim")
        """
    )
    session = project.run("--save-baseline", "--llm-iterations=6")
    assert session.exit == 1
    requests = session.scenario()["requests"]
    assert (requests["sent"], requests["failed"]) == (6, 6)
    assert [(one["kind"], one["count"]) for one in requests["failures"]] == [("http_status", 6)]
    assert "6 of 6 requests failed (http_status): " in session.text
    assert "503" in session.text
    assert not (project.path / ".llmperf").exists()


def test_a_server_that_goes_away_ends_the_run_with_a_report(project):
    project.test(
        """
        import itertools
        count = itertools.count()

        @llm_slo(p95_ms=2000, warmup=0, iterations=30)
        def test_router(llm, llm_mock):
            if next(count) == 10:
                llm_mock._child._process.kill()
            llm.chat("takvim")

        @pytest.fixture
        def llm_mock(request):
            from pytest_llmperf.sharing import rig_of
            return rig_of(request.config).companions.mock
        """
    )
    session = project.run()
    assert session.exit == 1
    requests = session.scenario()["requests"]
    assert requests["sent"] <= 20
    assert requests["failed"] >= 5
    assert "found no server" in session.text
    assert "the mock server has ended: " in session.text
    assert session.report["outcome"] == "failed"


def test_what_a_test_changes_of_the_mock_is_undone(project):
    project.test(
        """
        def test_changed(llm_mock, llm):
            llm_mock.reply({"route": "changed"}, contains=["takvim"])
            assert llm.chat("takvim").json == {"route": "changed"}

        def test_undone(llm):
            assert llm.chat("takvim").json == {"route": "calendar"}
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 2}, session.text


def test_the_fixtures_work_outside_of_scenarios(project):
    project.test(
        """
        def test_plain(llm, llm_tokens):
            assert llm.chat("takvim").json == {"route": "calendar"}
            assert llm_tokens("merhaba dünya") > 0
            assert llm_tokens("merhaba dünya").source

        def test_failing(llm, llm_mock):
            llm_mock.faults(kind="status", status=503)
            llm.chat("takvim")
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 1, "failed": 1}
    assert session.report is None


def test_roles_give_their_fields_to_the_request(project):
    project.write(
        "slo.yaml", FAST + "roles: {chat: {temperature: 0.7, max_tokens: 9}, router: {max_tokens: 5}}\n"
    )
    project.test(
        """
        @llm_slo(p95_ms=2000, warmup=0, iterations=1, max_iterations=1, role="chat")
        def test_chat(llm, llm_mock):
            llm.chat("takvim")
            llm.chat("takvim", role="router")
            llm.chat("takvim", max_tokens=3)
            sent = [request.json for request in llm_mock.requests]
            assert [body["max_tokens"] for body in sent[-3:]] == [9, 5, 3]
            assert [body.get("temperature") for body in sent[-3:]] == [0.7, None, 0.7]
        """
    )
    session = project.run()
    assert session.exit == 0, session.text


def test_a_mock_that_plays_ollama_is_asked_by_ollamas_own_api(pytester):
    pytester.path.joinpath("slo.yaml").write_text(
        "mock: {dialect: ollama, models: ['llama3.2:1b']}\n", "utf-8"
    )
    pytester.makepyfile("""
        from pytest_llmperf import llm_slo

        @llm_slo()
        def test_one(llm, llm_mock):
            reply = llm.chat("merhaba", keep_alive="5m")
            assert llm.model == "llama3.2:1b"
            assert reply.raw[-1]["eval_count"] == reply.tokens.output
            assert {request.path for request in llm_mock.requests} == {"/api/chat"}
    """)
    pytester.runpytest("-p", "no:asyncio", "--llm-quick").assert_outcomes(passed=1)
