"""Between a client and a server: what is written down, what never is, and that it plays again."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.wire.recording import read_recording

PROGRAM = "import sys; from pytest_llmperf.cli import main; sys.exit(main())"
PATH = "/v1/chat/completions"
KEY = "sk-live-0123456789abcdef"


def body(text: str = "merhaba", **params: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **params}).encode()


def ask(port: int, data: bytes, *, path: str = PATH, **headers: str) -> tuple[int, list, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        named = {name.replace("_", "-"): one for name, one in headers.items()}
        connection.request("POST", path, data, {"content-type": "application/json", **named})
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    finally:
        connection.close()


@contextmanager
def recording(upstream: str, out):
    """The port of a recorder; afterwards its process has ended, and `said` holds what it wrote."""
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "record",
        "--upstream",
        upstream,
        "--port",
        "0",
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = process.stdout.readline()
        assert first, process.stderr.read()
        process.port = int(re.search(r":(\d+)/v1 ->", first)[1])
        yield process
        process.send_signal(signal.SIGINT)
    except BaseException:
        process.kill()
        raise
    finally:
        process.said, process.complaints = process.communicate(timeout=20)


@contextmanager
def one_answer(answer: bytes):
    """The port of a server that says *answer* to every connection and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.fixture(scope="module")
def upstream():
    replies = [{"contains": "echo", "template": "{user}"}, {"text": "bir iki üç ağaç"}]
    with start_mock({"latency": {"ttft": "20ms", "itl": "5ms"}, "replies": replies}) as server:
        yield server


def test_what_was_recorded_is_replayed_to_the_byte(upstream, tmp_path):
    asked = [body(stream=True), body(), body("x", max_tokens=0), body(stream=True)]
    with recording(upstream.url, tmp_path / "r.jsonl") as recorder:
        recorded = [ask(recorder.port, data) for data in asked]
    with start_mock({"replay": str(tmp_path / "r.jsonl"), "speed": 1000}) as replay:
        assert [ask(replay.port, data) for data in asked] == recorded
    assert [status for status, _, _ in recorded] == [200, 200, 400, 200]
    assert recorded[0][2] != recorded[3][2]  # ids differ, and each came back in its turn


def test_the_pieces_have_the_times_at_which_they_came(upstream, tmp_path):
    with recording(upstream.url, tmp_path / "r.jsonl") as recorder:
        for _ in range(5):
            ask(recorder.port, body(stream=True))
    asked = read_recording((tmp_path / "r.jsonl").read_text("utf-8"), where="r")
    times = [[at_s for at_s, _ in one.pieces] for one in asked]
    # the stamp of sending is taken after it: on a busy machine the server may have begun before
    assert max(first for first, *_ in times) >= 0.015
    assert max(last for *_, last in times) >= 0.015 + 4 * 0.005
    assert times == [sorted(each) for each in times]
    assert all(one.end_s >= last for one, (*_, last) in zip(asked, times, strict=True))


def test_the_client_sees_what_it_would_see_without_the_recorder(upstream, tmp_path):
    with recording(upstream.url, tmp_path / "r.jsonl") as recorder:
        status, headers, data = ask(recorder.port, body())
    direct = ask(upstream.port, body())
    assert (status, len(data)) == (direct[0], len(direct[2]))
    assert [name for name, _ in headers] == [name for name, _ in direct[1]]


def test_no_secret_reaches_the_file_or_the_terminal(upstream, tmp_path):
    out = tmp_path / "r.jsonl"
    secrets = [f"{KEY}-{number}" for number in range(5)]
    with recording(upstream.url, out) as recorder:
        headers = {
            "Authorization": f"Bearer {secrets[0]}",
            "Cookie": f"session={secrets[1]}",
            "X_Api_Key": secrets[2],
        }
        echoed = body(f"echo {secrets[0]} {secrets[3]}", stream=True, api_key=secrets[3])
        status, _, data = ask(recorder.port, echoed, path=f"{PATH}?api_key={secrets[4]}", **headers)
        ask(recorder.port, body(), path=f"/{secrets[4]}?key={secrets[4]}", **headers)
    assert status == 200
    events = [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: {")]
    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert secrets[0] in said  # the client does get the echo
    written = out.read_text("utf-8") + recorder.said + recorder.complaints
    assert [one for one in (*secrets, KEY) if one in written] == []
    assert "0123456789abcdef" not in written
    (one, _) = read_recording(out.read_text("utf-8"), where="r")
    kept = b"".join(piece for _, piece in one.pieces).decode()
    events = [json.loads(line[6:]) for line in kept.splitlines() if line.startswith("data: {")]
    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert said == f"echo {'*' * len(secrets[0])} {'*' * len(secrets[3])}"


def test_a_compressed_answer_is_written_plain_so_that_secrets_can_be_hidden(tmp_path):
    text = json.dumps({"error": f"wrong key {KEY}"}).encode()
    packed = gzip.compress(text)
    head = f"HTTP/1.1 401 Unauthorized\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n"
    with (
        one_answer(head.encode() + packed) as port,
        recording(f"http://127.0.0.1:{port}", tmp_path / "r.jsonl") as recorder,
    ):
        assert ask(recorder.port, body(), Authorization=f"Bearer {KEY}", Accept_Encoding="gzip")[2] == packed
    (one,) = read_recording((tmp_path / "r.jsonl").read_text("utf-8"), where="r")
    assert b"".join(data for _, data in one.pieces) == text.replace(KEY.encode(), b"*" * len(KEY))
    assert dict(one.headers) == {"content-length": str(len(text))}


def test_an_answer_in_an_unknown_coding_is_left_out_and_said(tmp_path):
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 3\r\n\r\nabc"
    with one_answer(head) as port, recording(f"http://127.0.0.1:{port}", tmp_path / "r.jsonl") as recorder:
        ask(recorder.port, body())
    assert (
        "POST /v1/chat/completions is not recorded: its answer is compressed as 'br'" in recorder.complaints
    )
    assert "0 exchanges in " in recorder.said
    assert "1 without a whole answer left out" in recorder.said


def test_an_answer_that_breaks_off_is_recorded_as_one(tmp_path):
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    out = tmp_path / "r.jsonl"
    with one_answer(answer) as port, recording(f"http://127.0.0.1:{port}", out) as recorder:  # noqa: SIM117
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            ask(recorder.port, body())
    (one,) = read_recording(out.read_text("utf-8"), where="r")
    assert (one.whole, b"".join(data for _, data in one.pieces)) == (False, b"half")


def test_a_server_that_is_not_there_is_said_and_the_recorder_goes_on(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with recording(f"http://127.0.0.1:{port}", tmp_path / "r.jsonl") as recorder:
        for _ in range(2):
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                ask(recorder.port, body())
    assert recorder.complaints.count("is not recorded") == 2
    assert recorder.returncode == 0


def test_it_listens_on_loopback_alone(upstream, tmp_path):
    with recording(upstream.url, tmp_path / "r.jsonl") as recorder:
        listening = subprocess.run(
            ["/bin/sh", "-c", f"cat /proc/{recorder.pid}/net/tcp"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    if not listening:
        pytest.skip("needs /proc")
    rows = [line.split() for line in listening.splitlines()[1:]]
    own = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{recorder.port:04X}")]
    assert own == [f"0100007F:{recorder.port:04X}"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--upstream", "127.0.0.1:8000"], "is no URL of a server"),
        (["--upstream", "ftp://127.0.0.1"], "is no URL of a server"),
        (["--upstream", "http://[::1"], "is no URL of a server"),
        (["--upstream", "http://user:secret-pass@127.0.0.1"], "holds credentials"),
        (["--upstream", "http://127.0.0.1", "--port", "70000"], "--port 70000 is no port"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(arguments, complaint, tmp_path, capsys):
    from pytest_llmperf.cli import main

    assert main(["record", "--out", str(tmp_path / "r.jsonl"), *arguments]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert "secret-pass" not in said
    assert not (tmp_path / "r.jsonl").exists()


def test_a_port_that_is_taken_leaves_no_file_behind(tmp_path, capsys):
    from pytest_llmperf.cli import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["record", "--upstream", "http://127.0.0.1:1", "--out", str(tmp_path / "r.jsonl")]
        assert main([*arguments, "--port", port]) == 2
    assert "in use" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_recording_is_never_overwritten(tmp_path, capsys):
    from pytest_llmperf.cli import main

    (tmp_path / "r.jsonl").write_text("precious")
    assert main(["record", "--upstream", "http://127.0.0.1", "--out", str(tmp_path / "r.jsonl")]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "r.jsonl").read_text() == "precious"
