"""A scenario that calls its application, with a client of its own, is measured."""

from __future__ import annotations

import pytest

# Imported once for all runs in process, see conftest.py.
import pytest_llmperf.llm_client
import pytest_llmperf.relay.process  # noqa: F401

HEAD = """
import asyncio
import json
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

def post(url, path, body, **headers):
    sent = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )
    with urllib.request.urlopen(sent) as answer:
        return answer.read()

MESSAGES = [{"role": "user", "content": "merhaba"}]
ASK = {"model": "mock", "messages": MESSAGES}
STREAM = {**ASK, "stream": True}
few = llm_slo(iterations=4, max_iterations=4, warmup=1)
"""


@pytest.fixture
def run(project):
    """Run one scenario, whose body and marks are given."""

    def run(text, *arguments):
        project.test(HEAD + text)
        return project.run("--llm-gate=warn", *arguments)

    return run


def test_every_client_gives_the_counts_of_the_server(run):
    session = run("""
import openai

def sdk(llm_client, ask):
    llm_client.openai().chat.completions.create(**ask)

def sdk_stream(llm_client, ask):
    list(llm_client.openai().chat.completions.create(**ask, stream=True))

def relay(llm_client, ask):
    with openai.OpenAI(base_url=llm_client.base_url, api_key=llm_client.api_key) as client:
        client.chat.completions.create(**ask)

def relay_stream(llm_client, ask):
    with openai.OpenAI(base_url=llm_client.base_url, api_key=llm_client.api_key) as client:
        list(client.chat.completions.create(**ask, stream=True))

def httpx_stream(llm_client, ask):
    llm_client.http_client().post("chat/completions", json={**ask, "stream": True})

def httpx2_stream(llm_client, ask):
    llm_client.http_client(library="httpx2").post("chat/completions", json={**ask, "stream": True})

def thread_stream(llm_client, ask):
    url = llm_client.base_url
    thread = threading.Thread(target=post, args=(url, "/chat/completions", {**ask, "stream": True}))
    thread.start()
    thread.join()

def process_stream(llm_client, ask):
    url = llm_client.base_url + "/chat/completions"
    kind = ["-H", "content-type: application/json"]
    words = ["curl", "-sfN", url, *kind, "-d", json.dumps({**ask, "stream": True})]
    subprocess.run(words, check=True, capture_output=True)

@few
@pytest.mark.parametrize(
    "app",
    [sdk, sdk_stream, relay, relay_stream, httpx_stream, httpx2_stream, thread_stream, process_stream],
    ids=lambda app: app.__name__,
)
def test_app(llm_client, llm_mock, app):
    llm_mock.reply("bir iki üç")
    app(llm_client, {**ASK, "stream_options": {"include_usage": True}} if "stream" in app.__name__ else ASK)
""")
    assert session.outcomes() == {"passed": 8}, session.text
    for scenario in session.report["scenarios"]:
        counted = scenario["tokens"]
        assert (counted["output"], counted["sources"]) == (4 * 4, ["server"]), scenario["name"]
        assert ("ttft_s" in scenario["series"]) == ("stream" in scenario["name"])
    assert "adds" in session.line("through a relay")


def test_a_client_of_the_other_dialect_finds_its_paths(run, project):
    project.write("slo.yaml", "version: 1\nmock: {dialect: ollama}\n")
    session = run("""
import ollama

@few
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_app(llm_client, llm_mock, stream):
    llm_mock.reply("bir iki üç")
    client = ollama.Client(host=llm_client.base_url)
    said = client.chat(model="mock", messages=MESSAGES, stream=stream)
    list(said)
    client._client.close()
""")
    assert session.outcomes() == {"passed": 2}, session.text
    assert [one["tokens"]["output"] for one in session.report["scenarios"]] == [16, 16]


@pytest.mark.parametrize("load", ["", "@pytest.mark.llm_load(users=2, iterations=2)"])
def test_asynchronous_clients_are_measured_and_closed(run, load):
    session = run(f"""
clients = []

@few
{load}
async def test_app(llm_client):
    clients[:] = [llm_client.async_openai(), llm_client.async_http_client()]
    async for chunk in await clients[0].chat.completions.create(**STREAM):
        pass
    await clients[1].post("chat/completions", json=STREAM)

def test_clients():
    assert [client.is_closed if isinstance(client.is_closed, bool) else client.is_closed()
            for client in clients] == [True, True]
""")
    assert session.outcomes() == {"passed": 2}, session.text
    assert session.n("test_app") == 8


def test_concurrent_requests_belong_to_the_iteration_that_made_them(run, project):
    session = run("""
@few
def test_app(llm_client, request):
    from pytest_llmperf.items import log_of

    log = log_of(request.node)
    def one(size):
        with log.iteration() as own:
            url = llm_client.base_url
            for _ in range(size):
                post(url, "/chat/completions", ASK)
            return len(own.close()[0])

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(one, [1, 2, 3, 4])) == [1, 2, 3, 4]
""")
    assert session.outcomes() == {"passed": 1}, session.text


def test_a_url_that_is_read_outside_counts_for_the_scenario_and_is_told(run):
    session = run("""
@pytest.fixture
def app(llm_client):
    url = llm_client.base_url
    return lambda: post(url, "/chat/completions", ASK)

@few
def test_app(app):
    app()
""")
    assert session.n() == 4
    assert "base_url was read outside" in " ".join(session.text.split())


def test_a_failure_keeps_its_kind_and_is_counted_once(run):
    session = run("""
import openai

@llm_slo(iterations=3, max_iterations=3, warmup=0)
@pytest.mark.parametrize("way", ["transport", "relay"])
@pytest.mark.parametrize("kind", ["cut", "status"])
def test_app(llm_client, llm_mock, way, kind):
    llm_mock.faults(kind=kind, **({"status": 503} if kind == "status" else {"after": 3}))
    base = llm_client.url if way == "transport" else llm_client.base_url
    with openai.OpenAI(
        base_url=base,
        api_key=llm_client.api_key,
        max_retries=0,
        http_client=llm_client.http_client("httpx2") if way == "transport" else None,
    ) as client:
        list(client.chat.completions.create(**STREAM))
""")
    assert session.outcomes() == {"passed": 4}, session.text
    for scenario in session.report["scenarios"]:
        kind = "cut" if "cut" in scenario["name"] else "http_status"
        failures = scenario["requests"]["failures"]
        assert [(one["kind"], one["count"]) for one in failures] == [(kind, 3)]
        broken = {check["metric"] for check in scenario["checks"] if check["outcome"] == "failed"}
        assert broken == {"success_rate"}


def test_a_relay_that_dies_ends_the_test_with_one_line(run):
    session = run("""
import os, signal
from pytest_llmperf.sharing import rig_of

@few
def test_app(llm_client, request):
    url = llm_client.base_url
    os.kill(rig_of(request.config).servers.relay.pid, signal.SIGKILL)
    post(url, "/chat/completions", ASK)
""")
    assert session.outcomes() == {"failed": 1}, session.text
    session.line("the relay of llm_client is gone: signal 9")
    assert "Traceback" not in session.text
    assert "relay/process.py" not in session.text


def test_every_attempt_of_a_client_that_tries_again_is_a_request(run):
    session = run("""
@llm_slo(iterations=2, max_iterations=2, warmup=0, success_rate=0.3)
def test_app(llm_client, llm_mock):
    llm_mock.faults(kind="rate_limit", retry_after="1ms", times=2)
    llm_client.openai(max_retries=2).chat.completions.create(**ASK)
""")
    requests = session.scenario()["requests"]
    assert (requests["sent"], requests["failed"]) == (6, 4)


def test_a_client_that_leaves_in_the_middle_is_cancelled(run):
    session = run("""
import httpx

@llm_slo(iterations=2, max_iterations=2, warmup=0)
@pytest.mark.parametrize("way", ["transport", "relay"])
def test_app(llm_client, llm_mock, way):
    llm_mock.latency(itl="50ms")
    url = llm_client.url if way == "transport" else llm_client.base_url
    with (
        llm_client.http_client() if way == "transport" else httpx.Client() as client,
        client.stream("POST", url + "/chat/completions", json=STREAM) as answer,
    ):
        next(answer.iter_bytes())
""")
    for scenario in session.report["scenarios"]:
        assert [one["kind"] for one in scenario["requests"]["failures"]] == ["cancelled"]


def test_json_that_was_asked_for_is_checked(run):
    session = run("""
@llm_slo(iterations=3, max_iterations=3, warmup=0, json_valid=0.5)
def test_app(llm_client, llm_mock):
    llm_mock.reply("no json")
    said = llm_client.openai().chat.completions.create(**ASK, response_format={"type": "json_object"})
    json.loads(said.choices[0].message.content)
""")
    broken = {check["metric"] for check in session.scenario()["checks"] if check["outcome"] == "failed"}
    assert broken == {"json_valid"}


def test_other_requests_pass_and_do_not_count(run):
    session = run("""
@few
def test_app(llm_client):
    assert [model.id for model in llm_client.openai().models.list()]
    assert urllib.request.urlopen(llm_client.base_url + "/models").read()
    post(llm_client.base_url, "/embeddings", {"model": "mock", "input": "a"})
    post(llm_client.base_url, "/chat/completions", ASK)
""")
    assert session.scenario()["requests"]["sent"] == 4


def test_the_key_of_the_server_is_never_in_the_tests_hands(run, project, monkeypatch):
    monkeypatch.setenv("THE_KEY", "sk-real-and-secret")
    project.write(
        "conftest.py",
        """
        import pytest
        from pytest_llmperf.mock.process import start_mock

        server = start_mock({})

        def pytest_configure(config):
            config.option.llm_url = server.url

        def pytest_unconfigure():
            server.stop()

        @pytest.fixture
        def server_of_the_test():
            return server
        """,
    )
    project.write("slo.yaml", "version: 1\nbackends: {there: {kind: openai, api_key_env: THE_KEY}}\n")
    session = run(
        """
@few
def test_app(llm_client, server_of_the_test):
    import openai

    for client in (
        openai.OpenAI(base_url=llm_client.base_url, api_key=llm_client.api_key), llm_client.openai()
    ):
        assert "secret" not in client.api_key
        client.chat.completions.create(**ASK)
        keys = [value for name, value in server_of_the_test.requests[-1].headers if name == "authorization"]
        assert len(keys) == 1 and "llmperf" not in keys[0]
""",
        "--llm-backend=there",
    )
    assert session.outcomes() == {"passed": 1}, session.text
    assert "sk-real" not in session.text


def test_the_arm_that_is_measured_gets_the_requests(run, project):
    project.write(
        "conftest.py",
        """
        from pathlib import Path

        import pytest
        from pytest_llmperf.mock.process import start_mock

        servers = [start_mock({"replies": [{"text": name}], "latency": {"ttft": "0", "itl": "0"}})
                   for name in ("one", "two three four five")]

        @pytest.hookimpl(tryfirst=True)
        def pytest_cmdline_main(config):
            config.option.llm_url, config.option.llm_ab = (server.url for server in servers)

        def pytest_unconfigure():
            asked = [[one for one in server.requests if "completions" in one.path] for server in servers]
            Path("asked").write_text(" ".join(str(len(received)) for received in asked))
            for server in servers:
                server.stop()
        """,
    )
    session = run("""
@pytest.fixture
def app(llm_client):
    url, client = llm_client.base_url, llm_client.openai()
    def app():
        post(url, "/chat/completions", ASK)
        client.chat.completions.create(**ASK)
    return app

@few
def test_app(app):
    app()
""")
    assert session.scenario()["tokens"]["output"] == 4 * 2 * 2, session.text
    # four iterations and a warm-up, and two requests in each
    assert (project.path / "asked").read_text() == "10 10"
