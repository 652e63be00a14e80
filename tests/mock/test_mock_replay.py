"""Recorded answers, given again: the same bytes, the same pace, and a clear error for anything else."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.mock.head import Head
from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.mock.replay import Replay
from pytest_llmperf.wire.recording import RecordedExchange, exchange_line, header_line

PATH = "/v1/chat/completions"
STREAM = [
    (0.05, b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'),
    (0.06, "data: ağ".encode()[:-1]),
    (0.08, "data: ğ".encode()[-1:] + b"\n\ndata: [DONE]\n\n"),
]


def body(text: str, **params: object) -> bytes:
    return json.dumps({"model": "tiny", "messages": [{"role": "user", "content": text}], **params}).encode()


def exchange(text: str = "merhaba", *, stream: bool = False, **fields: object) -> RecordedExchange:
    plain: dict[str, object] = {
        "method": "POST",
        "target": PATH,
        "request_body": body(text),
        "status": 200,
        "reason": "OK",
        "headers": (("content-type", "application/json"), ("content-length", "11")),
        "head_s": 0.001,
        "pieces": ((0.001, b'{"said": 1}'),),
        "end_s": 0.001,
    }
    if stream:
        headers = (("content-type", "text/event-stream"), ("transfer-encoding", "chunked"), ("x-old", "1"))
        plain |= {
            "request_body": body(text, stream=True), "headers": headers, "head_s": 0.02, "pieces": tuple(STREAM), "end_s": 0.09,  # noqa: E501
        }  # fmt: skip
    return RecordedExchange(**{**plain, **fields})


@pytest.fixture
def record(tmp_path):
    def record(*exchanges):
        path = tmp_path / "recording.jsonl"
        first = header_line(upstream="http://127.0.0.1:1", recorded="2026-01-01T00:00:00Z")
        path.write_text(first + "".join(map(exchange_line, exchanges)), "utf-8")
        return str(path)

    return record


@pytest.fixture
def replayed(record, mock):
    """The shared server, answering from a recording."""

    def replayed(*exchanges, speed=1.0):
        mock.replay(record(*exchanges), speed=speed)
        return mock

    return replayed


def test_the_answer_is_the_recorded_bytes(replayed, ask):
    answer = ask(replayed(exchange(stream=True)), PATH, body("merhaba", stream=True))
    assert answer.raw == (
        b"HTTP/1.1 200 OK\r\n"
        b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\nx-old: 1\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(data), data) for _, data in STREAM)
        + b"0\r\n\r\n"
    )


@pytest.mark.parametrize("speed", [1.0, 0.5, 4.0])
def test_every_part_leaves_when_it_came_and_never_earlier(record, speed):
    """On the plan, so that no busy machine has a say."""
    replay = Replay([exchange(stream=True)], speed=speed, name="r")
    head = Head(method="POST", target=PATH.encode(), headers=[])
    call = Call(None, head, body("merhaba", stream=True), 0)
    plan = replay.plan(replay.find(call), call)
    times = [plan.ttft_ns]
    for gap in plan.gaps:
        times.append(times[-1] + gap)
    assert plan.early[0][0] == round(0.02e9 / speed)
    assert times == [round(at_s * 1e9 / speed) for at_s in (0.05, 0.06, 0.08, 0.09)]


def test_the_pace_is_that_of_the_recording(replayed, ask):
    server = replayed(exchange(stream=True))
    started_s = time.perf_counter()
    ask(server, PATH, body("merhaba", stream=True))
    assert time.perf_counter() - started_s >= 0.09
    (received,) = server.requests
    assert received.first_byte_s - received.arrived_s >= 0.02
    assert received.first_token_s - received.arrived_s >= 0.05
    assert received.last_byte_s - received.arrived_s >= 0.09


def test_the_head_does_not_wait_for_the_body(replayed):
    server = replayed(exchange(stream=True, pieces=((60.0, b"late"),), end_s=60.0))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", PATH, body("merhaba", stream=True))
    assert connection.getresponse().status == 200
    connection.close()


def test_the_same_request_gets_its_answers_in_their_order_and_then_again(replayed, ask):
    server = replayed(*(exchange(pieces=((0.0, b'{"said": %d}' % number),)) for number in (1, 2, 3)))
    assert [ask(server, PATH, body("merhaba")).json["said"] for _ in range(5)] == [1, 2, 3, 1, 2]


def test_each_request_has_a_count_of_its_own(replayed, ask):
    said = [((0.0, b'{"said": %d}' % number),) for number in (1, 2, 3)]
    server = replayed(
        exchange("a", pieces=said[0]), exchange("b", pieces=said[1]), exchange("a", pieces=said[2])
    )
    assert [ask(server, PATH, body(text)).json["said"] for text in ("a", "b", "a", "b")] == [1, 2, 3, 2]


def test_a_body_in_another_form_and_under_another_key_is_the_same_request(replayed, ask):
    sent = exchange(request_headers=(("authorization", "Bearer one-key-12345"),))
    value = json.loads(sent.request_body)
    reordered = json.dumps(dict(reversed(value.items())), indent=2).encode()
    assert ask(replayed(sent), PATH, reordered, authorization="Bearer another-key").json == {"said": 1}


def test_a_request_that_was_not_recorded_is_told_which_one_is_nearest(replayed, ask):
    server = replayed(
        exchange("hava nasıl"), exchange("merhaba dünya", stream=True), exchange("merhaba bantz")
    )
    answer = ask(server, PATH, body("merhaba banta"))
    assert answer.status == 404
    assert answer.json["error"]["type"] == "NotRecordedError"
    assert answer.json["error"]["message"] == (
        "recording.jsonl holds no answer to POST /v1/chat/completions: the nearest request that it holds is "
        'POST /v1/chat/completions, where messages[0].content is "merhaba bantz" and not "merhaba banta". '
        "Record this request too (llmperf record)."
    )


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        (body("merhaba", temperature=0.5), "there is no temperature, which is 0.5 here"),
        (b'{"messages": [{"role": "user", "content": "merhaba"}]}', 'model is "tiny" and is missing here'),
        (
            b'{"model": "tiny", "messages": []}',
            'messages is [{"content": "merhaba", "role": "user"}] and not []',
        ),
        (b"[]", "the body is "),
        (b"{", "the body is "),
    ],
)
def test_the_first_difference_is_named(replayed, ask, asked, difference):
    assert difference in ask(replayed(exchange()), PATH, asked).json["error"]["message"]


def test_an_unknown_path_is_told_which_path_is_recorded(replayed, ask):
    answer = ask(replayed(exchange()), "/v1/responses", body("merhaba"))
    assert (
        "the nearest request that it holds is POST /v1/chat/completions." in answer.json["error"]["message"]
    )


def test_the_error_shows_no_secret(replayed, ask):
    asked = b'{"model": "tiny", "api_key": "sk-live-0123456789", "note": "sk-live-0123456789"}'
    answer = ask(replayed(exchange()), PATH + "?key=sk-other-0123456789", asked)
    assert answer.status == 404
    assert b"sk-" not in answer.body


def test_what_only_tells_about_the_server_is_answered_unless_it_is_recorded(replayed, ask):
    server = replayed(exchange(), exchange(method="GET", target="/version", request_body=b""))
    assert ask(server, "/health").status == 200
    assert ask(server, "/version").json == {"said": 1}


def test_the_models_are_those_of_the_recorded_requests(record, ask):
    with start_mock({"replay": record(exchange(), exchange(stream=True))}) as server:
        assert [model["id"] for model in ask(server, "/v1/models").json["data"]] == ["tiny"]


def test_an_answer_that_broke_off_breaks_off_again(replayed):
    server = replayed(exchange(stream=True, whole=False))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", PATH, body("merhaba", stream=True))
    response = connection.getresponse()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    connection.close()


def test_an_error_is_an_answer_like_any_other(replayed, ask):
    sent = exchange(
        status=429, reason="Too Many Requests", headers=(("retry-after", "7"), ("content-length", "11"))
    )
    answer = ask(replayed(sent), PATH, body("merhaba"))
    assert answer.raw.startswith(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\n")


def test_an_answer_without_a_length_ends_with_its_connection(replayed):
    server = replayed(exchange(headers=(("content-type", "application/json"),)))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", PATH, body("merhaba"))
    response = connection.getresponse()
    assert (response.read(), response.will_close) == (b'{"said": 1}', True)
    connection.close()


def test_a_connection_goes_on_after_an_answer(replayed):
    server = replayed(exchange(), exchange(stream=True))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for asked in (body("merhaba"), body("merhaba", stream=True), body("merhaba")):
        connection.request("POST", PATH, asked)
        assert connection.getresponse().read()
    assert len(server.requests) == 3
    connection.close()


def test_a_client_without_chunks_gets_the_body_and_an_end(replayed, raw_exchange):
    asked = body("merhaba", stream=True)
    head = f"POST {PATH} HTTP/1.0\r\ncontent-length: {len(asked)}\r\n\r\n".encode()
    answer = raw_exchange(replayed(exchange(stream=True)), head + asked)
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\n\r\n" + b"".join(data for _, data in STREAM))


def test_faults_are_played_on_recorded_answers_too(replayed, ask):
    server = replayed(exchange(stream=True))
    server.faults(kind="cut", after=1)
    answer = ask(server, PATH, body("merhaba", stream=True))
    assert answer.raw.endswith(b"%x\r\n%b\r\n" % (len(STREAM[0][1]), STREAM[0][1]))


NDJSON = (("content-type", "application/x-ndjson; charset=utf-8"), ("transfer-encoding", "chunked"))
LINES = tuple((0.01 * at, b'{"message":{"content":"a"},"done":false}\n') for at in range(4))


@pytest.mark.parametrize(
    ("target", "how", "error"),
    [
        ("/api/chat", {"headers": NDJSON, "pieces": LINES}, b'{"error":"oops"}\n'),
        (
            PATH,
            {},
            b'data: {"error":{"message":"oops","type":"InternalServerError","param":null,"code":500}}\n\n',
        ),
    ],
)
def test_an_error_in_a_recorded_stream_is_in_its_framing_and_words(replayed, ask, target, how, error):
    server = replayed(exchange(stream=True, target=target, **how))
    server.faults(kind="error_in_stream", message="oops", after=3)
    answer = ask(server, target, body("merhaba", stream=True))
    assert answer.body.removesuffix(b"data: [DONE]\n\n").endswith(b"\n" + error)
    assert (b"[DONE]" in answer.body) is (target == PATH)


@pytest.mark.parametrize("head_s", [0.0, 0.02])
@pytest.mark.parametrize(
    "framing", [("content-length", "11"), ("transfer-encoding", "chunked"), ("x-other", "")]
)
def test_a_recorded_answer_that_is_no_stream_is_spoilt_as_a_whole(replayed, ask, framing, head_s):
    server = replayed(
        exchange(
            headers=(("content-type", "application/json"), framing),
            head_s=head_s,
            pieces=((0.02, b'{"said"'), (0.03, b": 1}")),
        )
    )
    asked = body("merhaba")
    for kind, left in (("empty_body", b""), ("error_in_stream", b'{"said": 1}'), ("cut", b'{"said": 1}')):
        answer = ask(server, PATH, asked, x_llmperf_fault=kind)
        length = answer.headers.get("content-length")
        assert left.startswith(answer.body)
        assert (len(answer.body) < 11) is (kind != "error_in_stream")
        assert length in ("11" if left else "0", None)
        assert "transfer-encoding" not in answer.headers or length is None


def test_a_fault_may_be_for_recorded_streams_alone(replayed, ask):
    server = replayed(exchange(), exchange(stream=True))
    server.faults(kind="status", stream=True)
    assert [ask(server, PATH, body("merhaba", **how)).status for how in ({}, {"stream": True})] == [200, 500]


def test_a_fault_may_take_the_place_of_a_recorded_answer(replayed, ask):
    server = replayed(exchange())
    server.faults(kind="rate_limit", times=1)
    asked = body("merhaba")
    assert [ask(server, PATH, asked).status for _ in range(2)] == [429, 200]
    assert ask(server, PATH, asked, x_llmperf_fault='{"kind": "status", "status": 502}').status == 502
    assert [one.fault for one in server.requests] == ["rate_limit", "", "status"]


def test_a_reset_goes_back_to_made_up_answers(replayed, ask):
    server = replayed(exchange())
    server.reset()
    assert ask(server, PATH, body("merhaba")).json["object"] == "chat.completion"


def test_a_reset_starts_a_configured_recording_again(record, ask):
    both = (exchange(), exchange(pieces=((0, b'{"said": 2}'),)))
    with start_mock({"replay": record(*both)}) as server:
        first = ask(server, PATH, body("merhaba")).json
        server.reset()
        assert ask(server, PATH, body("merhaba")).json == first == {"said": 1}


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"replay": 3}, "mock.replay: expected a text"),
        ({"replay": "r.jsonl", "speed": 0}, "mock.speed: expected a number from 0.001 to 1000"),
    ],
)
def test_a_setting_that_cannot_be_used_says_why(section, complaint):
    with pytest.raises(LlmPerfUsageError, match=re.escape(complaint)):
        parse_config(section, where="mock")


def test_a_recording_that_cannot_be_read_stops_the_start(tmp_path):
    with pytest.raises(LlmPerfUsageError, match=r"start: cannot read the recording .*none\.jsonl"):
        start_mock({"replay": str(tmp_path / "none.jsonl")})


def test_the_reason_is_all_that_is_said(tmp_path):
    command = [sys.executable, "-m", "pytest_llmperf.mock", "--port", "0"]
    ended = subprocess.run([*command, "--replay", tmp_path / "none.jsonl"], capture_output=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"cannot read the recording ")
    assert ended.stderr.count(b"\n") == 1


def test_a_recording_is_relative_to_its_slo_yaml(tmp_path):
    assert parse_config({"replay": "r.jsonl"}, folder=tmp_path).replay == tmp_path / "r.jsonl"


def test_the_command_line_replays(record, ask):
    command = [sys.executable, "-m", "pytest_llmperf.mock", "--port", "0"]
    path = record(exchange(pieces=((60.0, b'{"said": 1}'),), end_s=60.0))
    process = subprocess.Popen([*command, "--replay", path, "--speed", "1000"], stdout=subprocess.PIPE)
    try:
        port = int(re.search(rb":(\d+)/", process.stdout.readline())[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", PATH, body("merhaba"))
        assert connection.getresponse().read() == b'{"said": 1}'
        connection.close()
    finally:
        process.terminate()
        process.communicate()


def test_the_gaps_of_a_plan_are_never_negative():
    late = exchange(stream=True, pieces=((0.05, b"a"), (0.04, b"b")), end_s=0.01)
    replay = Replay([late], speed=1.0, name="r")
    call = Call(None, Head(method="POST", target=PATH.encode(), headers=[]), b"", 0)
    plan = replay.plan(late, call)
    assert min(plan.gaps) >= 0
    assert len(plan.gaps) == len(plan.parts) - 1 == len(list(pairwise(plan.parts)))
