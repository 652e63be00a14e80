"""What was seen from beside is read as our own clients read it."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from pytest_llmperf.client.counting import estimate
from pytest_llmperf.client.observation import Observation
from pytest_llmperf.client.observed import Reading
from pytest_llmperf.core.exchange import FailureKind, TokenSource
from pytest_llmperf.wire.dialects import kind_of

CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "bir"}}]}\n\n'
FINISH = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = {"model": "m", "messages": [{"role": "user", "content": "merhaba"}], "stream": True}


def seen(*pieces, asked=None, status=200, content_type="text/event-stream", encoding="", **ending):
    one = Observation(target="/v1/chat/completions", body=json.dumps(asked or STREAM).encode(), began_s=1.0)
    one.sent(1.5)
    headers = [(b"Content-Type", content_type.encode()), (b"Content-Encoding", encoding.encode())]
    one.head(status, headers, 2.0)
    for number, piece in enumerate(pieces):
        one.chunk(piece, 3.0 + number)
    one.end(9.0, ending.get("failure"), ending.get("message", ""))
    return one


def read(one, **options):
    return Reading(estimate, **options).exchange(one, due_s=0.5)


def test_a_stream_is_measured_by_the_stamps_of_its_pieces():
    exchange = read(seen(CHUNK, CHUNK, FINISH, USAGE + DONE))
    assert exchange.failure is None
    assert (exchange.due_s, exchange.sent_s, exchange.first_byte_s) == (0.5, 1.5, 2.0)
    assert (exchange.first_token_s, exchange.chunk_s, exchange.done_s) == (3.0, (3.0, 4.0), 9.0)
    assert (exchange.tokens.input, exchange.tokens.output, exchange.model) == (3, 5, "m")


def test_a_usage_that_was_not_asked_for_is_counted_and_marked():
    exchange = read(seen(CHUNK, FINISH, DONE))
    assert exchange.tokens.source is TokenSource.ESTIMATE


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_compressed_answer_is_read(encode):
    body = encode(CHUNK + FINISH + USAGE + DONE)
    name = "gzip" if encode is gzip.compress else "deflate"
    exchange = read(seen(body[:20], body[20:], encoding=name))
    assert (exchange.failure, exchange.tokens.output) == (None, 5)


@pytest.mark.parametrize(("encoding", "body"), [("br", b"x"), ("gzip", b"no gzip")], ids=["br", "broken"])
def test_an_answer_that_cannot_be_decoded_is_no_success(encoding, body):
    assert read(seen(body, encoding=encoding)).failure.kind is FailureKind.MALFORMED


def test_a_compressed_error_is_readable():
    exchange = read(seen(gzip.compress(b'{"error": {"message": "busy"}}'), encoding="gzip", status=503))
    assert exchange.failure.message == "HTTP 503: busy"


@pytest.mark.parametrize(
    ("pieces", "failure", "kind"),
    [
        ([CHUNK], FailureKind.CUT, FailureKind.CUT),
        ([CHUNK], None, FailureKind.CUT),
        ([CHUNK], FailureKind.CANCELLED, FailureKind.CANCELLED),
        ([CHUNK], FailureKind.TIMEOUT_STALL, FailureKind.TIMEOUT_STALL),
        ([], FailureKind.TIMEOUT_STALL, FailureKind.TIMEOUT_FIRST_TOKEN),
        ([b"data: {nonsense\n\n"], None, FailureKind.MALFORMED),
    ],
    ids=["cut", "no-finish", "left", "stalled", "no-token", "malformed"],
)
def test_an_end_before_the_end_is_a_failure_of_its_kind(pieces, failure, kind):
    assert read(seen(*pieces, failure=failure, message="why")).failure.kind is kind


@pytest.mark.parametrize("end", [FINISH, DONE], ids=["finish", "done"])
def test_a_client_that_needs_no_more_than_the_answer_has_succeeded(end):
    exchange = read(seen(CHUNK, end, failure=FailureKind.CANCELLED))
    assert (exchange.failure, exchange.done_s) == (None, 4.0)


def test_a_server_that_was_never_reached_has_no_answer():
    one = Observation(target="/v1/completions", body=b"", began_s=1.0)
    one.end(2.0, FailureKind.CONNECT, "connection refused with key-of-mine")
    failure = read(one, secrets=["key-of-mine"]).failure
    assert (failure.kind, failure.message) == (FailureKind.CONNECT, "connection refused with ***")


@pytest.mark.parametrize(
    ("more", "text", "valid"),
    [
        ({}, "no json", None),
        ({"response_format": {"type": "json_object"}}, "no json", False),
        ({"response_format": {"type": "json_object"}}, "{}", True),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}},
            "{}",
            False,
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 7}}}}, "{}", True),
        ({"format": "json"}, "no json", False),
        ({"format": {"type": "object", "required": ["a"]}}, "{}", False),
    ],
    ids=["not-asked", "broken", "valid", "schema", "no-schema", "ollama", "ollama-schema"],
)
def test_json_is_checked_where_it_was_asked_for(more, text, valid):
    body = {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
    asked = {**STREAM, "stream": False, **more}
    exchange = read(seen(json.dumps(body).encode(), asked=asked, content_type="application/json"))
    assert (exchange.failure, exchange.json_valid) == (None, valid)


def test_a_request_that_is_not_json_gets_what_the_server_thinks_of_it():
    one = seen(b'{"detail": "bad"}', status=400, content_type="application/json")
    one.body = b"\xff{"
    assert read(one).failure.kind is FailureKind.HTTP_STATUS


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/v1/chat/completions", "openai"),
        ("/openai/deployments/x/completions?api-version=1", "openai"),
        ("/api/chat", "ollama"),
        ("/v1/api/generate", "ollama"),
        ("/v1/models", None),
        ("/v1/embeddings", None),
    ],
)
def test_the_path_says_whether_a_model_is_asked_and_how(target, kind):
    assert kind_of(target) == kind
