from __future__ import annotations

import asyncio
import json
import re
import socket
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.mock.receiving import MAX_BODY_BYTES
from pytest_llmperf.mock.server import Mock

CALM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
PATHS = {
    "vllm": ["/v1/chat/completions", "/v1/completions", "/tokenize", "/v1/embeddings"],
    "llamacpp": ["/v1/chat/completions", "/v1/completions", "/tokenize", "/completion", "/apply-template"],
    "ollama": [
        "/api/chat", "/api/generate", "/api/show", "/api/embed", "/v1/chat/completions",
        "/api/pull", "/api/create", "/api/copy",
    ],
    "openai": ["/v1/chat/completions"],
    "sglang": ["/v1/chat/completions", "/generate"],
    "tgi": ["/v1/chat/completions", "/generate", "/generate_stream", "/"],
}  # fmt: skip
FIELDS = [
    "messages", "prompt", "input", "model", "stream", "stream_options", "temperature", "top_p", "n", "max_tokens",  # noqa: E501
    "max_completion_tokens", "stop", "seed", "logprobs", "top_logprobs", "tools", "tool_choice", "response_format",  # noqa: E501
    "structured_outputs", "options", "format", "content", "text", "inputs", "parameters", "sampling_params", "from",  # noqa: E501
    "source", "destination", "n_predict", "dimensions", "encoding_format", "echo", "system",
]  # fmt: skip
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 200), st.just(10**400), st.floats(), st.text(max_size=8),
    st.sampled_from(["user", "auto", "required", "json_object", "json_schema", "\ud800", "float"]),
)  # fmt: skip
KEYS = st.sampled_from(
    ["role", "content", "type", "function", "name", "parameters", "json_schema", "schema", "properties", "items", "enum",  # noqa: E501
     "anyOf", "$ref", "pattern", "minLength", "minItems", "required", "text", "num_predict", "stop", "json", "choice"]  # noqa: E501
)  # fmt: skip
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=8,
)
GOOD = {"messages": [{"role": "user", "content": "a"}], "prompt": "a", "input": "a", "model": "m"}


class Transport(asyncio.Transport):
    """A client in memory."""

    def __init__(self):
        super().__init__()
        self.data = b""
        self.closed = False

    def write(self, data):
        self.data += data

    def close(self):
        self.closed = True

    abort = close

    def is_closing(self):
        return self.closed

    def is_reading(self):
        return True

    def can_write_eof(self):
        return False

    def get_extra_info(self, name, default=None):  # noqa: ARG002
        return default


def answer(dialect: str, *pieces: bytes) -> bytes:
    """What a server without delays says to *pieces*."""

    async def run():
        config = parse_config({"latency": {"ttft": "0", "itl": "0"}, "dialect": dialect})
        server = Mock(config, loop=asyncio.get_running_loop(), token="t")
        connection, transport = server.connection(), Transport()
        connection.connection_made(transport)
        for piece in pieces:
            connection.data_received(piece)
        await asyncio.sleep(0)
        connection.connection_lost(None)
        server.close()
        return transport.data

    return asyncio.run(run())


def post(path: str, body: bytes, *headers: str) -> bytes:
    more = "".join(f"{header}\r\n" for header in headers)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def statuses(data: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


@pytest.mark.parametrize("dialect", PATHS)
@CALM
@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=4), missing=st.booleans())
def test_no_json_body_brings_it_down(dialect, fields, missing):
    body = json.dumps(fields if missing else {**GOOD, **fields}).encode()
    for path in PATHS[dialect]:
        found = answer(dialect, post(path, body))
        (status, *more) = statuses(found)
        assert status in (200, 400, 404, 422) or (status == 500 and dialect == "llamacpp")  # in its own words
        assert b"in the mock" not in found
        assert not more


@CALM
@given(body=st.binary(max_size=60))
def test_no_body_at_all_brings_it_down(body):
    for dialect in ("vllm", "ollama"):
        for path in PATHS[dialect]:
            assert statuses(answer(dialect, post(path, body)))[0] in (200, 400, 404)


@CALM
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_no_bytes_bring_the_parser_down(data, cut):
    whole = answer("vllm", data[:cut], data[cut:], b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
    assert all(status in (100, 200, 400, 404, 405, 413, 431) for status in statuses(whole))


@CALM
@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_request_may_come_in_any_pieces(cuts):
    data = post("/v1/chat/completions", json.dumps({**GOOD, "stream": True}).encode()) + post(
        "/tokenize", b'{"prompt": "a b"}'
    )
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = answer("vllm", *(data[start:end] for start, end in pairwise(at) if start < end))
    assert statuses(found) == [200, 200]
    assert found.count(b"[DONE]") == 1


@CALM
@given(header=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60))
def test_no_fault_header_brings_it_down(header):
    request = post("/v1/chat/completions", json.dumps(GOOD).encode(), f"x-llmperf-fault: {header}").decode()
    assert statuses(answer("vllm", request.encode("latin-1", "replace")))[:1] in ([200], [400], [])


@pytest.mark.parametrize(
    "path", ["requests", "reset", "reply", "latency", "faults", "refuse", "answer", "nothing"]
)
@CALM
@given(value=VALUE)
def test_no_control_value_brings_it_down(path, value):
    request = post(f"/_mock/{path}", json.dumps(value).encode(), "x-mock-token: t")
    assert statuses(answer("vllm", request))[0] in (200, 400, 404)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**9},
        {"type": "array", "items": {}, "minItems": 10**9},
        {"type": "string", "pattern": "(a{9999}){9999}"},
        {"type": "object", "required": [1, {}]},
        {"$ref": "#"},
        {"enum": []},
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"type": "array", "items": {"type": "array", "items": {"type": "array", "minItems": 9999}, "minItems": 9999}, "minItems": 9999},  # noqa: E501
    ],
)  # fmt: skip
def test_no_schema_eats_the_memory(schema):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tracemalloc.start()
    found = answer(
        "vllm", post("/v1/chat/completions", json.dumps({**GOOD, "response_format": form}).encode())
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert statuses(found)[0] in (200, 400)
    assert peak < 50_000_000


def test_deep_json_is_refused():
    assert statuses(answer("vllm", post("/v1/chat/completions", b"[" * 200_000))) == [400]


def test_a_head_without_an_end_is_refused():
    assert 431 in statuses(answer("vllm", b"GET / HTTP/1.1\r\nx: ", *[b"a" * 65536] * 8))


def test_too_many_headers_are_refused():
    assert 431 in statuses(answer("vllm", b"GET / HTTP/1.1\r\n" + b"x-header: value\r\n" * 10_000 + b"\r\n"))


def test_a_body_past_the_limit_is_refused_before_it_comes():
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
    )
    assert 413 in statuses(answer("vllm", head))


def test_the_refusal_of_a_large_body_reaches_a_client_that_is_still_sending(mock):
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
    )
    with socket.create_connection(("127.0.0.1", mock.port), timeout=10) as connection:
        connection.sendall(head + b"a" * 300_000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_an_upgrade_is_ignored():
    body = json.dumps(GOOD).encode()
    upgrade = post(
        "/v1/chat/completions",
        body,
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AA",
    )
    assert statuses(answer("vllm", upgrade)) == [200]


def test_a_client_that_waits_for_permission_gets_it():
    found = answer("vllm", post("/v1/chat/completions", json.dumps(GOOD).encode(), "expect: 100-continue"))
    assert statuses(found) == [100, 200]


def test_http_1_0_gets_a_stream_without_chunks():
    request = post("/v1/chat/completions", json.dumps({**GOOD, "stream": True}).encode()).replace(
        b"HTTP/1.1", b"HTTP/1.0"
    )
    found = answer("vllm", request)
    assert b"transfer-encoding" not in found
    assert found.endswith(b"data: [DONE]\n\n")


def test_pipelined_requests_are_answered_in_order():
    data = b"".join(
        post("/tokenize", json.dumps({"prompt": "a " * count}).encode()) for count in range(1, 200)
    )
    found = answer("vllm", data)
    assert [int(count) for count in re.findall(rb'"count":(\d+)', found)] == list(range(1, 200))
