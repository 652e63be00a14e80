from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.wire.recording import (
    RecordedExchange,
    exchange_line,
    header_line,
    match_key,
    read_recording,
    without_secrets,
)

HEADER = header_line(upstream="http://127.0.0.1:8000", recorded="2026-01-01T00:00:00Z")
KEY = "sk-live-0123456789abcdef"
ONE = RecordedExchange(
    method="POST",
    target="/v1/chat/completions",
    request_headers=(("content-type", "application/json"),),
    request_body='{"model":"m","messages":[{"role":"user","content":"ağaç"}]}'.encode(),
    status=200,
    reason="OK",
    headers=(("content-type", "text/event-stream"),),
    head_s=0.01,
    pieces=((0.05, b'data: {"a":1}\n\n'), (0.06, "ağ".encode()[:-1]), (0.07, b"")),
    end_s=0.08,
)


def read(text):
    return read_recording(text, where="r.jsonl")


def test_what_was_written_is_read_again():
    assert read(HEADER + exchange_line(ONE)) == (ONE,)


@given(st.lists(st.tuples(st.floats(0, 1e4).map(lambda one: round(one, 6)), st.binary(max_size=40))))
def test_any_bytes_at_any_time_are_kept(pieces):
    one = replace(ONE, pieces=tuple(pieces))
    assert read(HEADER + exchange_line(one)) == (one,)


def test_the_first_line_says_what_the_file_is():
    assert json.loads(HEADER) == {
        "schema": "pytest-llmperf/recording/1",
        "upstream": "http://127.0.0.1:8000",
        "recorded": "2026-01-01T00:00:00Z",
    }


def test_an_exchange_is_one_line():
    assert exchange_line(ONE).count("\n") == 1


def test_bytes_that_are_no_text_are_base64():
    pieces = json.loads(exchange_line(ONE))["response"]["pieces"]
    assert pieces[0] == [0.05, 'data: {"a":1}\n\n']
    assert pieces[1] == [0.06, {"base64": "YcQ="}]


def test_no_secret_is_written():
    body = b'{"model":"m","api_key":"%s","messages":"it is %s"}' % (KEY.encode(), KEY.encode())
    sent = replace(
        ONE,
        target=f"/v1/chat/completions?api_key={KEY}",
        request_headers=(("Authorization", f"Bearer {KEY}"), ("Cookie", f"s={KEY}"), ("x-note", f"my {KEY}")),
        request_body=body,
        reason=f"No {KEY}",
        headers=(("Set-Cookie", f"s={KEY}"), ("x-echo", KEY)),
        pieces=((0.1, b"Incorrect API key: sk-live-01"), (0.2, b"23456789abcdef.")),
    )
    line = exchange_line(sent)
    assert KEY not in line
    assert "sk-live-01" not in line
    assert "23456789abcdef" not in line
    kept = without_secrets(sent)
    assert [len(data) for _, data in kept.pieces] == [len(data) for _, data in sent.pieces]
    assert kept.request_headers == (("x-note", f"my {'*' * len(KEY)}"),)
    assert kept.headers == (("x-echo", "*" * len(KEY)),)


def test_a_cookie_that_the_answer_sets_is_hidden_in_its_body():
    sent = replace(ONE, headers=(("Set-Cookie", f"s={KEY}"),), pieces=((0.1, KEY.encode()),))
    assert KEY not in exchange_line(sent)


def test_a_line_that_was_cut_while_it_was_written_is_left_out():
    assert read(HEADER + exchange_line(ONE) + exchange_line(ONE)[:50]) == (ONE,)


@pytest.mark.parametrize("first", ["", "{", "[]\n", '{"schema": "other/1"}\n'])
def test_another_file_is_refused(first):
    with pytest.raises(LlmPerfUsageError, match=r"r\.jsonl:1: not a "):
        read(first)


def test_a_recording_without_an_exchange_is_refused():
    with pytest.raises(LlmPerfUsageError, match="holds no exchange"):
        read(HEADER)


def test_a_broken_line_is_named():
    with pytest.raises(LlmPerfUsageError, match=r"r\.jsonl:3: not a line of a recording"):
        read(HEADER + exchange_line(ONE) + "{\n")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("request", "method", 3),
        ("request", "target", "/a\r\nx: y"),
        ("request", "body", 3),
        ("request", "body", {"base64": "!"}),
        ("response", "status", "200"),
        ("response", "status", 99),
        ("response", "status", 600),
        ("response", "head_s", -1),
        ("response", "head_s", "soon"),
        ("response", "end_s", 1e9),
        ("response", "headers", [["x", "a\nb"]]),
        ("response", "headers", [["x"]]),
        ("response", "pieces", [[0.1]]),
        ("response", "pieces", None),
    ],
)
def test_a_field_that_makes_no_sense_is_an_error_with_its_line(part, key, value):
    line = json.loads(exchange_line(ONE))
    line[part][key] = value
    with pytest.raises(LlmPerfUsageError, match=r"r\.jsonl:2: not an exchange"):
        read(HEADER + json.dumps(line) + "\n")


def test_an_exchange_that_is_no_object_is_an_error():
    with pytest.raises(LlmPerfUsageError, match=r"r\.jsonl:2: not an exchange"):
        read(HEADER + "[]\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1, "b": "\xc4\x9f"}', b'{"b":"\\u011f","a":1}'),
        (b'{"api_key": "first-key"}', b'{"api_key": "another-key"}'),
        (b"plain", b"plain"),
        (b"\xff", b"\xff"),
    ],
)
def test_requests_that_mean_the_same_are_recognised(one, other):
    assert match_key("POST", "/a", one) == match_key("POST", "/a", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("POST", "/a", b'{"a": 1}'), ("POST", "/a", b'{"a": 2}')),
        (("POST", "/a", b""), ("GET", "/a", b"")),
        (("POST", "/a", b""), ("POST", "/b", b"")),
        (("POST", "/a?x=1", b""), ("POST", "/a", b"")),
    ],
)
def test_requests_that_differ_are_told_apart(one, other):
    assert match_key(*one) != match_key(*other)


def test_a_recorded_request_is_recognised_although_its_key_was_hidden():
    headers = [("Authorization", f"Bearer {KEY}")]
    sent = replace(ONE, request_headers=tuple(headers), request_body=b'{"note": "%s"}' % KEY.encode())
    kept = without_secrets(sent)
    asked = match_key(sent.method, sent.target, sent.request_body, headers)
    assert match_key(kept.method, kept.target, kept.request_body) == asked
