from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_llmperf.child_process.parent import _PROGRAM, ChildGoneError
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.head import Head
from pytest_llmperf.mock.journal import Journal
from pytest_llmperf.mock.process import start_mock

ROOT = Path(__file__).resolve().parents[2]


def gone(pid: int, within_s: float = 30.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_it_ends_with_its_block(chat):
    with start_mock({"latency": {"ttft": "0", "itl": "0"}}) as server:
        assert chat(server).status == 200
    assert gone(server.pid)
    server.stop()  # once more is harmless


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent_whatever_ends_the_parent(number):
    program = "from pytest_llmperf.mock.process import start_mock; import time; print(start_mock().pid, flush=True); time.sleep(60)"  # noqa: E501
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert not gone(child, 0.1)
    parent.send_signal(number)
    parent.wait()
    assert gone(child)
    parent.stdout.close()


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_it_dies_with_its_parent_though_a_fork_holds_the_pipe():
    program = (
        "from pytest_llmperf.mock.process import start_mock; import os, time\n"
        "server = start_mock()\n"
        "child = os.fork()\n"
        "if child: print(server.pid, child, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    server, fork = map(int, parent.stdout.readline().split())
    parent.kill()
    parent.wait()
    try:
        assert gone(server)
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.stdout.close()


def test_it_imports_little():
    program = _PROGRAM.replace("{module}", "pytest_llmperf.mock.child").replace(
        "run_child()", "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = {"httpx", "numpy", "scipy", "jsonschema", "yaml", "pytest", "multiprocessing"}
    assert not heavy & set(done.stdout.split())


def test_a_module_of_the_users_folder_does_not_get_in_the_way(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    start_mock().stop()


def test_a_port_that_is_taken_is_named():
    with (
        start_mock() as server,
        pytest.raises(LlmPerfUsageError, match=f"cannot listen on 127.0.0.1:{server.port}"),
    ):
        start_mock(port=server.port)


def test_a_child_that_cannot_run_tells_why(monkeypatch):
    monkeypatch.setattr("pytest_llmperf.child_process.parent._PROGRAM", "raise SystemExit('no luck today')")
    with pytest.raises(LlmPerfUsageError, match="no luck today"):
        start_mock()


def test_a_server_that_has_ended_by_itself_tells_why():
    with start_mock() as server:
        assert server.why_ended == ""
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ChildGoneError, match=r"/v1 does not answer: signal 9 \(Killed\) ended it"):
            server.reset()
        assert server.why_ended.startswith("signal 9")
    assert server.why_ended == ""


def test_it_listens_on_loopback_alone(mock):
    listening = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    addresses = {entry[1].partition(":")[0] for entry in listening if entry[1].endswith(f":{mock.port:04X}")}
    assert addresses == {"0100007F"}


def test_received_requests_tell_bodies_and_times(mock, chat):
    before = time.perf_counter()
    chat(mock, "merhaba", stream=True)
    after = time.perf_counter()
    (request,) = mock.requests
    assert (request.method, request.path, request.status) == ("POST", "/v1/chat/completions", 200)
    assert request.json["messages"][0]["content"] == "merhaba"
    times = [
        before,
        request.arrived_s,
        request.first_byte_s,
        request.first_token_s,
        request.last_byte_s,
        after,
    ]
    assert times == sorted(times)


def test_secrets_in_headers_are_not_kept(mock, ask):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
    secret = "sk-very-secret"
    ask(
        mock,
        "/v1/chat/completions",
        body,
        authorization=f"Bearer {secret}",
        x_api_key=secret,
        my_token=secret,
        cookie=secret,
    )
    (request,) = mock.requests
    assert secret not in repr(request)
    assert dict(request.headers)["authorization"] == "<redacted>"


def test_a_secret_in_the_query_is_not_kept(mock, ask):
    ask(mock, "/v1/models?api_key=sk-very-secret&n=1")
    (request,) = mock.requests
    assert request.path == "/v1/models?api_key=***&n=1"


def test_the_log_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("pytest_llmperf.mock.journal._KEPT_BYTES", 1000)
    journal = Journal(100)
    for number in range(5):
        head = Head(method="POST", target=b"/%d" % number, headers=[], size=300)
        journal.add(Call(None, head, b"a" * 150, 0))
    assert ([entry["path"] for entry in journal.entries()], journal.total) == (["/3", "/4"], 5)


def test_the_log_is_bounded(start, chat):
    server = start(log_size=3)
    for number in range(5):
        chat(server, f"{number}")
    assert [request.json["messages"][0]["content"] for request in server.requests] == ["2", "3", "4"]


def test_control_needs_the_token(mock, ask):
    answer = ask(mock, "/_mock/requests", b"null")
    assert answer.status == 403
    for guess in ("guess", mock._token[:-1], mock._token + "x"):
        assert ask(mock, "/_mock/reset", b"null", x_mock_token=guess).status == 403


def test_a_mistake_in_control_is_told(mock):
    with pytest.raises(LlmPerfUsageError, match=r"llm_mock\.faults"):
        mock.faults("explode")
    with pytest.raises(LlmPerfUsageError, match=r"llm_mock\.latency.ttft"):
        mock.latency(ttft="soon")
    with pytest.raises(LlmPerfUsageError, match=r"llm_mock\.reply"):
        mock.reply("x", contain="y")


def test_a_server_that_is_gone_is_named(mock):
    with start_mock() as server:
        pass
    with pytest.raises(ChildGoneError, match=f"127.0.0.1:{server.port}/v1 does not answer: .*refused"):
        server.reset()


def test_the_command_serves_the_section_of_a_file_until_it_is_interrupted(tmp_path, ask):
    (tmp_path / "slo.yaml").write_text(
        "mock:\n  latency: {ttft: 0, itl: 0}\n  replies: [{contains: ılık, text: evet}]\n", "utf-8"
    )
    command = [
        sys.executable,
        "-m",
        "pytest_llmperf.mock",
        "--port",
        "0",
        "--config",
        str(tmp_path / "slo.yaml"),
        "--seed",
        "7",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    url = server.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")

    class Where:
        port = int(url.removesuffix("/v1").rpartition(":")[2])

    body = {"messages": [{"role": "user", "content": "ILIK su"}]}
    assert ask(Where, "/v1/chat/completions", body).json["choices"][0]["message"]["content"] == "evet"
    assert ask(Where, "/_mock/requests", b"null").status == 404  # no token was given, so there is no control
    server.send_signal(signal.SIGINT)
    _, errors = server.communicate(timeout=30)
    assert (server.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mock: {latencyy: {}}", "Did you mean 'latency'"),
        ("a: [", "slo.yaml"),
        (None, "slo.yaml"),
        ("mok: {dialect: tgi}", "there is no section mock: in it. Is 'mok' meant to be it?"),
        ("- a list", "there is no section mock: in it."),
        ("mock: {latency: {steps: [{after: 2}]}}", "mock.latency.steps[0].factor is missing"),
        ("mock: {latency: {drift: {per: 2}}}", "mock.latency.drift.rate is missing"),
        ("mock: {replies: [{callback: 0}]}", "mock.replies[0].callback: functions answer through"),
        (
            "mock: {replies: [{sequence: [{callback: 0}]}]}",
            "mock.replies[0].sequence[0].callback is not a key",
        ),
    ],
)
def test_the_command_explains_a_file_it_cannot_use(tmp_path, capsys, text, expected):
    from pytest_llmperf.mock.__main__ import main

    path = tmp_path / "slo.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert main(["--config", str(path), "--port", "0"]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "70000"], "--port 70000 is no port"),
        (["--speed", "2"], "--speed: there is no recording"),
        (["--replay", "none.jsonl"], "cannot read the recording"),
    ],
    ids=str,
)
def test_the_command_explains_an_option_it_cannot_use(capsys, arguments, expected):
    from pytest_llmperf.mock.__main__ import main

    assert main(["--port", "0", *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_the_schema_accepts_what_the_server_accepts(tmp_path):
    import jsonschema

    from pytest_llmperf.mock.config import parse_config

    schema = json.loads(
        (ROOT / "pytest_llmperf" / "schemas" / "mock.schema.json").read_text(encoding="utf-8")
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    section = {
        "seed": 3,
        "dialect": "ollama",
        "models": ["a", "b"],
        "max_model_len": 4096,
        "user_marker": "USER:",
        "log_size": 10,
        "version": "0.9.0",
        "latency": {
            "ttft": "lognormal(55ms, 0.1)",
            "itl": "constant(1ms)",
            "prefill": "100us",
            "cold_start": "2s",
            "steps": [{"after": 100, "factor": 1.2}, {"after": "1min", "factor": 2}],
            "drift": {"per": "1min", "rate": "5%"},
        },
        "capacity": {"running": 8, "waiting": 64, "slowdown": "2%", "kv_tokens": 10000, "prefix_cache": True, "block": 16, "prefill_steals": False},  # noqa: E501
        "replies": [
            {"contains": ["a"], "json": {"x": 1}},
            {"regex": "x", "sequence": ["a", {"text": "b"}], "cycle": True, "times": 3},
            {"turn": 2, "history": "a", "system": "b", "model": "m", "role": "r", "template": "{user}"},
            {"equals": "a", "contains_all": ["b"], "tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
            {"contains": "x", "text": "y", "reasoning": "z"},
        ],
        "faults": [
            "cut",
            {"kind": "rate_limit", "retry_after": "2s", "times": 2, "skip": 1, "every": 3},
            {"kind": "status", "status": 503, "rate": "30%", "from": "10s", "until": "20s", "message": "x"},
            {"kind": "stall", "after": 3, "for": "1s", "contains": "x", "stream": True, "model": "m", "role": "r"},  # noqa: E501
            {"kind": "slow_loris", "bytes": 3}, {"kind": "slow", "factor": 1.5},
        ],
    }  # fmt: skip
    jsonschema.Draft202012Validator(schema).validate(section)
    parse_config(section)


@pytest.mark.parametrize(
    "section",
    [
        {"latencyy": {}},
        {"faults": [{"kind": "explode"}]},
        {"replies": [{"contains": "a"}]},
        {"capacity": {"running": 0}},
    ],
)
def test_the_schema_refuses_what_the_server_refuses(section):
    import jsonschema

    schema = json.loads(
        (ROOT / "pytest_llmperf" / "schemas" / "mock.schema.json").read_text(encoding="utf-8")
    )
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(section))


def test_answers_that_are_reused_differ_where_they_must(start, chat):
    """The same words for other prompts: written once, counted and numbered for each."""
    server = start(replies=[{"regex": "", "text": "bir iki üç"}])
    texts = ("kısa", "bu çok daha uzun bir soru değil mi", "kısa")
    short, long, again = (chat(server, text, max_tokens=50).json for text in texts)
    assert short["usage"]["prompt_tokens"] == again["usage"]["prompt_tokens"]
    assert long["usage"]["prompt_tokens"] > short["usage"]["prompt_tokens"]
    assert len({one["id"] for one in (short, long, again)}) == 3
    assert {one["choices"][0]["message"]["content"] for one in (short, long, again)} == {"bir iki üç"}


@pytest.mark.parametrize(
    "other", [{"max_tokens": 2}, {"model": "other"}, {"stop": ["iki"]}, {"n": 2}, {"logprobs": True}]
)
def test_an_answer_is_not_reused_for_a_request_that_asks_for_something_else(start, chat, other):
    server = start(replies=[{"regex": "", "text": "bir iki üç"}])
    plain = [chat(server, "soru").json for _ in range(3)][-1]
    assert chat(server, "soru", **other).json["choices"] != plain["choices"] or "model" in other
    assert chat(server, "soru", **other).json["model"] == other.get("model", "tiny")


def test_a_stream_that_is_reused_keeps_its_usage_event_to_itself(start, chat):
    server = start(replies=[{"regex": "", "text": "bir iki üç"}])
    for wanted in (True, False, True):
        options = {"stream_options": {"include_usage": wanted}}
        events = chat(server, "soru", stream=True, **options).events
        assert any("usage" in event for event in events) is wanted


def test_a_known_head_is_not_mistaken_for_another(start):
    """The second request has the same head and comes in two parts; the third has another body length."""
    server = start(replies=[{"contains": "a", "text": "A"}, {"text": "other"}])
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.connect()
    said = []
    for text, parts in (("a", 1), ("b", 2), ("a", 1), ("bb", 1), ("a", 3)):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body)
        )
        data = head + body
        size = -(-len(data) // parts)
        for at in range(0, len(data), size):
            connection.sock.sendall(data[at : at + size])
            if parts > 1:
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        said.append(json.loads(response.read())["choices"][0]["message"]["content"])
    assert said == ["A", "other", "A", "other", "A"]
    connection.close()
