"""No bytes whatever crash a reader, hang it, or make it call a broken answer a success."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pytest_llmperf.wire import openai
from pytest_llmperf.wire.answer import Answer
from pytest_llmperf.wire.dialect import MalformedAnswerError
from pytest_llmperf.wire.dialects import dialect
from pytest_llmperf.wire.errors import failure_of_status
from pytest_llmperf.wire.reader import PlainReader, StreamReader

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
#: objects made of the dialects' own words with any values
words = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "content",
        "reasoning",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "index",
        "finish_reason",
        "usage",
        "error",
        "prompt_tokens",
        "completion_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "timings",
        "prompt_n",
        "prompt_ms",
        "object",
        "done",
        "done_reason",
        "response",
        "thinking",
        "eval_count",
        "load_duration",
        "text",
        "detail",
        "x_groq",
        "refusal",
        "code",
    ]
)
shaped = st.recursive(
    json_values | st.sampled_from(["stop", "error", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=20,
)
KINDS = ["openai", "ollama"]


def outcome(reader, pieces, *, complete):
    answer = Answer()
    events = [event for piece in pieces for event in reader.feed(piece)]
    for event in events + reader.close(complete=complete):
        answer.add(event)
    assert reader.failed == (answer.failure is not None)
    return answer


def framed(kind, payload):
    text = json.dumps(payload)
    return (f"data: {text}\n\n" if kind == "openai" else f"{text}\n").encode()


@pytest.mark.parametrize("reader", [StreamReader, PlainReader])
@pytest.mark.parametrize("kind", KINDS)
@given(pieces=st.lists(st.binary(max_size=60), max_size=6), complete=st.booleans())
def test_random_bytes_are_never_a_success(reader, kind, pieces, complete):
    assert outcome(reader(dialect(kind)), pieces, complete=complete).failure is not None


@pytest.mark.parametrize("kind", KINDS)
@example(payloads=[{"choices": True}])
@given(payloads=st.lists(st.dictionaries(words, shaped, max_size=5), max_size=4))
def test_any_objects_made_of_the_right_words_are_read_without_a_crash(kind, payloads):
    data = b"".join(framed(kind, payload) for payload in payloads)
    answer = outcome(StreamReader(dialect(kind)), [data], complete=True)
    finished = any(_finishes(kind, payload) for payload in payloads)
    assert finished or answer.failure is not None
    for payload in payloads:
        outcome(PlainReader(dialect(kind)), [json.dumps(payload).encode()], complete=True)


@given(body=st.binary(max_size=200) | shaped.map(lambda value: json.dumps(value).encode()))
def test_any_error_body_has_words(body):
    assert failure_of_status(500, body).message.startswith("HTTP 500")


texts = st.lists(st.text(max_size=12), min_size=1, max_size=6)


@given(
    pieces=texts,
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    crlf=st.booleans(),
    end=st.integers(0, 2000),
)
@example(pieces=["\u2028\u0085😀"], cuts=[40, 41, 42, 43], crlf=True, end=2000)
@settings(max_examples=200)
def test_a_stream_survives_any_cuts_and_is_never_whole_when_it_is_not(pieces, cuts, crlf, end):
    chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in pieces]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    data = b"".join(
        f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode(errors="replace")
        for chunk in [*chunks, last]
    )
    data += b"data: [DONE]\n\n"
    data = data.replace(b"\n", b"\r\n") if crlf else data
    kept = data[:end]
    places = [0, *sorted(min(cut, len(kept)) for cut in cuts), len(kept)]
    parts = [kept[i:j] for i, j in pairwise(places)]
    answer = outcome(StreamReader(dialect("openai")), parts, complete=False)
    whole = b"[DONE]" in kept
    assert (answer.failure is None) == whole
    if whole:
        assert answer.text == "".join(text.encode(errors="replace").decode() for text in pieces)


FIRST = framed("openai", {"choices": [{"index": 0, "delta": {"content": "abc"}}]})
LAST = framed("openai", {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
#: everywhere outside the JSON texts: inside those, noise can be text
FRAMING = [
    *range(len(b"data: ")),
    len(FIRST) - 2,
    len(FIRST) - 1,
    *range(len(FIRST), len(FIRST) + len(b"data: ")),
]


@given(noise=st.binary(min_size=1, max_size=30), at=st.sampled_from(FRAMING))
@example(noise=b"\x00", at=0)
def test_noise_in_the_framing_never_loses_a_piece_of_a_success(noise, at):
    data = FIRST + LAST + b"data: [DONE]\n\n"
    broken = data[:at] + noise + data[at:]
    # a colon in front makes a comment, which nobody can tell from one that was meant
    assume(not any(line.startswith(b":") for line in broken.splitlines()))
    answer = outcome(StreamReader(dialect("openai")), [broken], complete=False)
    assert answer.failure is not None or answer.text == "abc"


def _finishes(kind, payload):
    if kind == "ollama":
        return payload.get("done") is True
    choices = payload.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
    )


said = st.text(max_size=3) | json_values
deltas = st.fixed_dictionaries({"content": said}, optional={"role": said, "reasoning": said, "refusal": said})
choices = st.fixed_dictionaries(
    {"delta": deltas | json_values},
    optional={
        "index": st.sampled_from([0, 0, 1, None, False]),
        "finish_reason": st.sampled_from([None, None, "", "stop", "abort", {"type": "stop"}]),
        "message": st.just({"content": "m"}),
        "text": st.just("t"),
        "error": st.just({"message": "no"}),
        "object": st.just("error"),
        "detail": st.just("no"),
    },
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(choices, min_size=1, max_size=1) | st.lists(choices | json_values, max_size=2)},
    optional={
        "usage": st.none() | st.just({"prompt_tokens": 1}),
        "object": st.sampled_from(["chat.completion.chunk", "error"]),
        "error": st.none() | st.just({"message": "no"}),
        "detail": st.just("no"),
        "timings": st.just({"prompt_n": 1}),
        "x_groq": st.just({"usage": {"prompt_tokens": 1}}),
    },
)
PLAIN = {"index": 0, "delta": {"content": "a"}}


@given(chunks)
@example({"choices": [PLAIN]})
@example({"choices": [PLAIN], "usage": {"prompt_tokens": 1}})
@example({"choices": [PLAIN], "object": "error"})
@example({"choices": [PLAIN | {"index": 1}]})
@example({"choices": [PLAIN | {"finish_reason": "stop"}]})
@example({"choices": [PLAIN | {"delta": {"content": "a", "reasoning": "b"}}]})
@example({"choices": [PLAIN | {"error": {"message": "no"}}]})
@example({"choices": [PLAIN | {"text": "t"}]})
@settings(max_examples=300)
def test_a_chunk_of_text_alone_reads_as_any_other(chunk):
    try:
        expected = list(openai._events(chunk, part="delta"))
    except MalformedAnswerError:
        with pytest.raises(MalformedAnswerError):
            openai.OpenAI().read_chunk(chunk)
    else:
        assert openai.OpenAI().read_chunk(chunk) == expected
