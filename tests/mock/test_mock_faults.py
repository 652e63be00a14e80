from __future__ import annotations

import json
import re
import socket
import time
from random import Random

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.dialects import DIALECTS
from pytest_llmperf.mock.faults import CONTENT, FAULTS, INSTEAD, KINDS, Playbook, parse_fault
from pytest_llmperf.mock.plan import Plan

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
PROMPT = {"model": "tiny", "prompt": "a"}
OPENAI = {"/v1/chat/completions": CHAT, "/v1/completions": PROMPT}
PATHS = {
    "vllm": OPENAI,
    "openai": OPENAI,
    "ollama": {**OPENAI, "/api/chat": CHAT, "/api/generate": PROMPT},
    "llamacpp": {**OPENAI, "/completion": PROMPT},
    "sglang": {**OPENAI, "/generate": {"text": "a"}},
    "tgi": {**OPENAI, "/generate": {"inputs": "a"}, "/generate_stream": {"inputs": "a"}},
}
UNMARKED = {("llamacpp", "/completion"), ("tgi", "/generate"), ("tgi", "/generate_stream")}
TEXT = "bir iki üç dört beş altı yedi sekiz"

#: A busy machine makes an answer late, but not every one of so many.
TRIES = 5


def statuses(chat, server, count):
    return [chat(server).status for _ in range(count)]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_status_is_answered_with_the_dialects_error_object(mock, chat, status):
    mock.faults(kind="status", status=status)
    answer = chat(mock)
    assert (answer.status, answer.json["error"]["code"]) == (status, status)


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_status_is_what_was_asked_for_in_every_dialect(start, ask, dialect, status):
    fault = json.dumps({"kind": "status", "status": status, "message": "out of luck"})
    for path, body in PATHS[dialect].items():
        answer = ask(start(dialect=dialect), path, body, x_llmperf_fault=fault)
        assert (answer.status, b"out of luck" in answer.body) == (status, True)


COUNTS = re.compile(
    rb'"(?:(?:prompt|completion|cached|generated)_tokens|(?:prompt_)?eval_count|tokens_\w+|timings|input_length)":'
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_usage_leaves_no_count_in_any_dialect(start, ask, dialect, stream):
    server = start(dialect=dialect, replies=[{"text": TEXT}])
    for path, body in PATHS[dialect].items():
        options = {"stream_options": {"include_usage": True}} if stream and "/v1/" in path else {}
        request = {**body, "stream": stream, **options, "parameters": {"details": True}}
        counted, not_counted = (
            ask(server, path, request, **header).body for header in ({}, {"x_llmperf_fault": "no_usage"})
        )
        assert COUNTS.search(counted)
        assert (COUNTS.search(not_counted), b"bir" in not_counted) == (None, True)
        assert b'"choices":[]' not in not_counted  # the chunk that tells nothing but counts


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_done_leaves_the_mark_of_the_end_away_in_every_dialect(start, ask, dialect):
    server = start(dialect=dialect)
    for path, body in PATHS[dialect].items():
        request = {**body, "stream": True}
        marks = [
            b"[DONE]" in answer.body or b'"done":true' in answer.body
            for answer in (ask(server, path, request), ask(server, path, request, x_llmperf_fault="no_done"))
        ]
        assert marks == [(dialect, path) not in UNMARKED, False]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_in_a_stream_is_in_the_words_of_the_dialect(start, ask, dialect):
    server = start(dialect=dialect)
    refused, broken = (
        json.dumps({"kind": kind, "message": "oops"}) for kind in ("status", "error_in_stream")
    )
    for path, body in PATHS[dialect].items():
        if path == "/generate" and dialect == "tgi":
            continue  # it does not stream
        error = ask(server, path, body, x_llmperf_fault=refused).body
        said = ask(server, path, {**body, "stream": True}, x_llmperf_fault=broken).body
        lines = [line for line in said.split(b"\n") if line not in (b"", b"data: [DONE]")]
        assert lines[-1].removeprefix(b"data: ") == error
        assert lines[-1].startswith(b"data: ") is not path.startswith("/api/")


@pytest.mark.parametrize("kind", ["error_in_stream", "empty_body"])
def test_a_fault_sends_no_chunks_to_a_client_that_takes_none(mock, raw_exchange, kind):
    body = b'{"messages": [{"role": "user", "content": "a"}], "stream": true}'
    head = (
        f"POST /v1/chat/completions HTTP/1.0\r\nX-Llmperf-Fault: {kind}\r\nconnection: keep-alive\r\n"
        "content-type: application/json\r\n"
    )
    answer = raw_exchange(mock, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    assert not answer.endswith(b"0\r\n\r\n")
    assert [request.fault for request in mock.requests] == [kind]


def test_a_script_of_rate_limits_ends_with_an_answer(mock, chat):
    mock.faults(kind="rate_limit", retry_after="2s", times=2)
    first = chat(mock)
    assert (first.status, first.headers["retry-after"]) == (429, "2")
    assert (first.headers["retry-after-ms"], first.headers["x-ratelimit-remaining-requests"]) == ("2000", "0")
    assert statuses(chat, mock, 2) == [429, 200]


def test_faults_follow_one_another_in_their_order(mock, chat):
    mock.faults({"kind": "status", "status": 500, "times": 1}, {"kind": "status", "status": 503, "times": 1})
    assert statuses(chat, mock, 3) == [500, 503, 200]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7])
def test_a_rate_is_kept_over_many_requests(rate):
    playbook = Playbook([parse_fault({"kind": "status", "rate": rate}, where="x")], Random(0))
    played = sum(playbook.pick(None, stream=False, now_s=0) is not None for _ in range(10_000))
    assert played / 10_000 == pytest.approx(rate, abs=0.02)


def test_a_rate_is_the_same_with_the_same_seed(start, chat):
    server = start(faults=[{"kind": "status", "rate": "50%"}])
    first = statuses(chat, server, 20)
    server.reset()
    assert statuses(chat, server, 20) == first
    assert set(first) == {200, 500}


def test_every_and_skip_choose_among_the_matching_requests(mock, chat):
    mock.faults(kind="status", skip=1, every=2)
    assert statuses(chat, mock, 6) == [200, 200, 500, 200, 500, 200]


def test_a_fault_may_be_for_some_requests_only(mock, chat):
    mock.faults(kind="status", contains="RAPOR", stream=False)
    assert chat(mock, "merhaba").status == 200
    assert chat(mock, "raporu göster").status == 500
    assert chat(mock, "raporu göster", stream=True).status == 200


def test_a_schedule_plays_a_fault_between_two_moments():
    fault = parse_fault({"kind": "status", "from": "10s", "until": "20s"}, where="x")
    hits = [fault.matches(None, stream=False, now_s=now) for now in (9.9, 10, 19.9, 20)]
    assert hits == [False, True, True, False]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "statsu"}, "x.kind: expected one of .* Did you mean 'status'"),
        ({"status": 500}, "x.kind: expected one of .*, and there is none"),
        ({"kind": "status", "rate": 30}, "x.rate: expected a number from 0 to 1, or a share as 30%, not 30"),
        ({"kind": "status", "from": "9s", "until": "3s"}, "x.until: expected a moment after"),
        ({"kind": "cut", "for": "2s"}, "x.for means nothing to the fault 'cut', which takes after "),
        ({"kind": "buffered", "bytes": 2}, "x.bytes means nothing .*, which takes nothing else "),
    ],
    ids=str,
)
def test_a_fault_that_makes_no_sense_is_refused(fault, reason):
    with pytest.raises(LlmPerfUsageError, match=reason):
        parse_fault(fault, where="x")


def test_every_kind_is_played_somewhere():
    assert sorted(KINDS) == sorted([*FAULTS, *INSTEAD, *CONTENT])


def test_a_header_asks_for_a_fault_on_one_request(mock, ask):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
    header = json.dumps({"kind": "status", "status": 502})
    assert ask(mock, "/v1/chat/completions", body, x_llmperf_fault=header).status == 502
    assert ask(mock, "/v1/chat/completions", body).status == 200
    assert ask(mock, "/v1/chat/completions", body, x_llmperf_fault="nonsense").status == 400


def test_an_answer_is_cut_in_the_middle_of_a_stream(mock, chat):
    mock.reply(TEXT)
    mock.faults(kind="cut", after=3)
    answer = chat(mock, stream=True)
    assert answer.status == 200
    assert not answer.raw.endswith(b"0\r\n\r\n")
    assert sum("content" in event["choices"][0]["delta"] for event in answer.events) == 1 + 3


def test_a_plain_answer_is_cut_before_its_promised_length(mock, chat):
    mock.faults("cut")
    answer = chat(mock)
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


@pytest.mark.parametrize("after", [None, 2])
def test_a_connection_is_reset(mock, after):
    mock.faults(kind="reset", **({} if after is None else {"after": after}))
    body = b'{"messages": [{"role": "user", "content": "a"}], "stream": true}'
    with socket.create_connection(("127.0.0.1", mock.port), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
        received = b""
        with pytest.raises(ConnectionResetError):  # noqa: PT012
            while part := connection.recv(65536):
                received += part
    assert received.count(b"data: ") == (0 if after is None else 3)


def test_a_stall_comes_before_the_token_it_names(start, chat):
    server = start(replies=[{"regex": "", "text": TEXT}])
    server.faults(kind="stall", after=0, for_="80ms")
    assert chat(server).status == 200
    (request,) = server.requests
    assert request.first_token_s - request.arrived_s >= 0.08
    server.reset()
    server.faults(kind="stall", after=4, for_="80ms")
    for _ in range(TRIES):
        assert chat(server, stream=True).events[-1] == "[DONE]"
    assert min(request.last_byte_s - request.arrived_s for request in server.requests) >= 0.08
    assert min(request.first_token_s - request.arrived_s for request in server.requests) < 0.08


def test_a_slow_answer_is_so_many_times_slower_in_all_its_parts():
    fault = parse_fault({"kind": "slow", "factor": 3}, where="x")
    for gaps, slower in ((5, 15), ([5, 7], [15, 21])):
        plan = Plan(head=b"", parts=[b"a"] * 3, stream=True, ttft_ns=10, gaps=gaps)
        FAULTS["slow"](plan, fault)
        assert (plan.ttft_ns, plan.gaps) == (30, slower)


def test_an_event_of_a_stream_is_malformed(mock, chat):
    mock.reply(TEXT)
    mock.faults("malformed_sse")
    payloads = [
        line[6:] for line in chat(mock, stream=True).body.decode().split("\n") if line.startswith("data: {")
    ]
    broken = [payload for payload in payloads if not payload.endswith("}")]
    assert len(broken) == 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken[0])


def test_a_character_is_cut_in_its_bytes(mock, chat):
    mock.faults("truncated_utf8")
    with pytest.raises(UnicodeDecodeError):
        chat(mock, stream=True).body.decode()


def test_a_body_is_not_json(mock, chat):
    mock.faults("malformed_json")
    answer = chat(mock)
    assert (answer.status, len(answer.body)) == (200, int(answer.headers["content-length"]))
    with pytest.raises(json.JSONDecodeError):
        _ = answer.json


def test_json_of_another_shape_is_said(mock, chat):
    mock.reply({"route": "calendar"})
    mock.faults("wrong_schema")
    assert "route" not in json.loads(chat(mock).json["choices"][0]["message"]["content"])


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_may_be_empty(mock, chat, stream):
    mock.faults("empty")
    answer = chat(mock, stream=stream)
    if stream:
        assert all(not event["choices"][0]["delta"].get("content") for event in answer.events[:-1])
        assert answer.events[-2]["choices"][0]["finish_reason"] == "stop"
    else:
        assert answer.json["choices"][0]["message"]["content"] == ""


def test_a_stream_may_have_no_events_at_all(mock, chat):
    mock.faults("empty_body")
    answer = chat(mock, stream=True)
    assert (answer.status, answer.body, answer.raw.endswith(b"0\r\n\r\n")) == (200, b"", True)


def test_usage_may_be_wrong(mock, chat):
    right = chat(mock).json["usage"]["completion_tokens"]
    mock.faults(kind="wrong_usage", factor=3)
    assert chat(mock).json["usage"]["completion_tokens"] == 3 * right


def test_usage_may_be_missing(mock, chat):
    mock.faults("no_usage")
    assert all(
        not event.get("usage")
        for event in chat(mock, stream=True, stream_options={"include_usage": True}).events[:-1]
    )
    assert chat(mock).json.get("usage") is None


def test_done_may_be_missing(mock, chat):
    mock.faults("no_done")
    answer = chat(mock, stream=True)
    assert answer.events[-1] != "[DONE]"
    assert answer.raw.endswith(b"0\r\n\r\n")


def test_an_error_comes_inside_of_a_stream_with_status_200(mock, chat):
    mock.reply(TEXT)
    mock.faults(kind="error_in_stream", after=2, message="out of memory")
    events = chat(mock, stream=True).events
    assert events[-2]["error"]["message"] == "out of memory"
    assert events[-1] == "[DONE]"
    assert sum("content" in event.get("choices", [{}])[0].get("delta", {}) for event in events[:-2]) == 1 + 2


def test_a_slow_loris_gives_a_few_bytes_at_a_time(mock, chat):
    mock.reply("ok")
    mock.faults(kind="slow_loris", bytes=100, for_="2ms")
    started = time.perf_counter()
    answer = chat(mock)
    assert answer.json["choices"][0]["message"]["content"] == "ok"
    assert time.perf_counter() - started >= 0.002 * (len(answer.raw) // 100 - 1)


def test_the_role_may_come_long_before_the_first_token(mock, chat):
    mock.faults(kind="early_role", for_="60ms")
    for _ in range(TRIES):
        assert chat(mock, stream=True).events[0]["choices"][0]["delta"]["role"] == "assistant"
    quickest = min(mock.requests, key=lambda request: request.first_byte_s - request.arrived_s)
    assert quickest.first_byte_s - quickest.arrived_s < 0.05
    assert quickest.first_token_s - quickest.arrived_s >= 0.06


def test_a_buffering_proxy_gives_everything_at_the_end(start, chat):
    server = start(latency={"ttft": "1ms", "itl": "3ms"}, replies=[{"regex": "", "text": TEXT}])
    server.faults("buffered")
    assert chat(server, stream=True).events[-1] == "[DONE]"
    (request,) = server.requests
    assert request.first_byte_s - request.arrived_s >= 0.022


def test_connections_are_refused_for_a_while(mock, chat):
    mock.faults(kind="refuse", times=1, for_="1s")
    with pytest.raises(OSError, match=r"reset|refused"):
        chat(mock)
    with pytest.raises(ConnectionRefusedError):
        chat(mock)
    deadline = time.monotonic() + 20
    while True:
        try:
            assert chat(mock).status == 200
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            break


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"stall", "refuse"}))
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["vllm", "llamacpp", "ollama"])
def test_the_server_stands_after_every_fault(start, ask, kind, stream, dialect):
    server = start(dialect=dialect)
    path = "/api/chat" if dialect == "ollama" else "/v1/chat/completions"
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "stream": stream}
    quick = {"for": "0", "bytes": 500}
    fault = {"kind": kind, **{key: value for key, value in quick.items() if key in KINDS[kind]}}
    try:
        answer = ask(server, path, body, x_llmperf_fault=json.dumps(fault))
        assert answer.status != 500 or kind == "status"
    except (OSError, ValueError, IndexError):
        assert kind in {"reset", "cut", "truncated_utf8", "malformed_json", "malformed_sse"}
    assert ask(server, path, body).status == 200
    assert [request.fault for request in server.requests] == [kind, ""]


# --- on embeddings

EMBEDDINGS = {
    "/v1/embeddings": {"model": "tiny", "input": ["elma", "armut"]},
    "/api/embed": {"model": "tiny", "input": "armut"},
    "/api/embeddings": {"model": "tiny", "prompt": "armut"},
}


@pytest.fixture
def embed(start, ask):
    """Asks each path for embeddings once, of a server with these faults; that server is ``embed.server``."""

    def embed(*faults, **headers):
        embed.server = start(dialect="ollama")
        if faults:
            embed.server.faults(*faults)
        return [ask(embed.server, path, body, **headers) for path, body in EMBEDDINGS.items()]

    return embed


def test_a_status_is_played_instead_of_embeddings(embed):
    answers = embed({"kind": "rate_limit", "message": "out of luck", "contains": "armut"})
    assert [(one.status, b"out of luck" in one.body) for one in answers] == [(429, True)] * 3
    assert [one.headers["retry-after"] for one in answers] == ["1"] * 3
    assert [one.fault for one in embed.server.requests] == ["rate_limit"] * 3


@pytest.mark.parametrize("kind", ["malformed_json", "empty_body", "truncated_utf8", "cut"])
def test_embeddings_can_be_spoilt(embed, kind):
    for answer in embed(kind):
        assert answer.status == 200
        with pytest.raises(ValueError):  # noqa: PT011 - of JSON, of UTF-8
            answer.json  # noqa: B018 - it is parsed here


def test_embeddings_can_be_late(embed):
    assert all(one.json for one in embed({"kind": "stall", "for": "20ms"}))
    for one in embed.server.requests:
        assert one.last_byte_s - one.arrived_s >= 0.02


def test_a_connection_can_be_reset_instead_of_embeddings(embed):
    with pytest.raises(ConnectionResetError):
        embed("reset")


def test_one_request_for_embeddings_asks_for_a_fault_of_its_own(embed):
    assert [one.status for one in embed(x_llmperf_fault="status")] == [500] * 3
    assert [one.status for one in embed(x_llmperf_role="r")] == [200] * 3


@pytest.mark.parametrize("where", [{"stream": True}, {"contains": "kiraz"}, {"model": "big"}, {"role": "r"}])
def test_a_fault_for_others_leaves_embeddings_alone(embed, where):
    assert [one.status for one in embed({"kind": "status", **where})] == [200] * 3


def test_a_fault_in_what_is_said_waits_for_something_to_be_said(embed, chat):
    assert all(one.json for one in embed({"kind": "empty", "times": 1}))
    assert [one.fault for one in embed.server.requests] == [""] * 3
    assert chat(embed.server).json["choices"][0]["message"]["content"] == ""
