"""Chunks that are read by what they have in common say what they say when they are read in full."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_llmperf.wire.dialects import dialect
from pytest_llmperf.wire.events import Delta
from pytest_llmperf.wire.reader import StreamReader
from pytest_llmperf.wire.template import Template


class Full(Template):
    """Learns nothing."""

    def learn(self, event, payload, said):
        pass


def events_of(chunks, kind="openai", template=None):
    """What a reader says of each of the *chunks*, and what it keeps of them."""
    reader = StreamReader(dialect(kind))
    if template is not None:
        reader._template = template(reader._apart)
    frame = "data: {}\n\n" if kind == "openai" else "{}\n"
    events = [reader.feed(frame.format(chunk).encode()) for chunk in chunks]
    payloads = [text.encode() if isinstance(text, str) else text for text in reader.payloads]
    return events, payloads, reader.close(complete=True)


def agree(chunks, kind="openai"):
    return events_of(chunks, kind) == events_of(chunks, kind, Full)


#: Texts that look like parts of a chunk, and the characters that JSON escapes.
texts = st.one_of(
    st.text(alphabet='ab "\\{}:,.\n\u2028é😀', max_size=6),
    st.sampled_from(["content", "stop", "x", "error", '"content":"', "a.", "assistant", "\ud83d", "", "0"]),
)
#: What else a chunk may have, in front of the choices or behind them.
around = st.dictionaries(
    st.sampled_from(["id", "object", "error", "detail", "usage", "content", "obfuscation"]),
    st.one_of(texts, st.none(), st.integers(0, 2), st.just({"prompt_tokens": 1, "completion_tokens": 1})),
    max_size=2,
)
deltas = st.dictionaries(
    st.sampled_from(["content", "reasoning", "reasoning_content", "role", "refusal"]),
    st.one_of(texts, st.none()),
    max_size=3,
)


@st.composite
def streams(draw):
    """Chunks that differ little, as those of one stream do."""
    before, after, delta = draw(around), draw(around), draw(deltas)
    finish = draw(st.sampled_from([None, "stop"]))
    escapes, choices = draw(st.booleans()), draw(st.integers(0, 1))
    chunks = []
    for _ in range(draw(st.integers(2, 6))):
        changed = draw(st.sampled_from([*delta, *before, *after, "nothing"]))
        said = draw(texts)
        parts = [{**part, changed: said} if changed in part else part for part in (before, after, delta)]
        choice = {"index": choices, "delta": parts[2], "finish_reason": finish}
        whole = {**parts[0], "choices": [choice], **parts[1]}
        chunks.append(json.dumps(whole, ensure_ascii=escapes).encode(errors="replace").decode())
    return chunks


@given(streams())
@settings(max_examples=400)
def test_what_is_learned_changes_nothing_that_is_read(chunks):
    assert agree(chunks)


USUAL = '{"choices":[{"index":0,"delta":{"content":"a"}}]}'
pieces = st.lists(st.sampled_from([*USUAL.partition('"a"'), '"b"', r'"\n"']))


@given(st.lists(pieces.map("".join) | st.text(alphabet='{}[]":,a0', max_size=30), max_size=5))
@example([USUAL.partition('a"')[0] + "b"])
def test_what_is_learned_makes_no_json_of_what_is_none(chunks):
    assert agree([USUAL, *chunks])


def chunk(key, text):
    return f'{{"id":"x","choices":[{{"index":0,"delta":{{"{key}":"{text}"}},"finish_reason":null}}]}}'


def like(chunk, *texts):
    """The *chunk* with each of the *texts* in place of the stars."""
    return [chunk.replace("***", text) for text in texts]


@pytest.mark.parametrize(
    "chunks",
    [
        # the same key twice: the last one holds
        like('{"choices":[{"index":0,"delta":{"content":"***","content":"b"}}]}', "b", "c", "d"),
        like('{"choices":[{"index":0,"delta":{"content":"b","content":"***"}}]}', "b", "c", "d"),
        # the text elsewhere too
        like('{"id":"***","choices":[{"index":0,"delta":{"content":"a"}}]}', "a", "b", "c"),
        like('{"id":"a.","choices":[{"index":0,"delta":{"content":"***"}}]}', "a", "a.", "b"),
        # a text that is empty lets another one count
        like('{"choices":[{"index":0,"delta":{"reasoning":"***","reasoning_content":"a"}}]}', "a", "", "b"),
        # the end of the string is the text's own
        [chunk("content", text) for text in ("a", 'b","role":"c', "d\\", 'e\\"')],
        [chunk("content", text) for text in ("a", "\t", "\\u00e9", "\\ud83d", "\\q", "\\u12")],
        [chunk("content", "a"), chunk("content", "b") + " ", chunk("content", "b") + "x"],
        [chunk("content", "a"), chunk("reasoning", "b"), chunk("reasoning", "c")],
        # where the text is first is inside of another string
        like(r'{"id":"\"a","choices":[{"index":0,"delta":{"content":"***"}}]}', "a", "b", "c"),
    ],
)
def test_what_only_looks_alike_is_read_in_full(chunks):
    assert agree(chunks)


def test_bytes_that_are_no_text_are_read_in_full():
    reader = StreamReader(dialect("openai"))
    usual, broken = (chunk("content", text) for text in ("a", "b"))
    reader.feed(f"data: {usual}\n\n".encode())
    (failed,) = reader.feed(f"data: {broken}\n\n".encode().replace(b'"b"', b'"\xff"'))
    assert failed.failure is not None


class Counting:
    """Reads events in full, and counts them."""

    def __init__(self):
        self._read = StreamReader(dialect("openai"))._apart
        self.events = 0

    def __call__(self, event):
        self.events += 1
        return self._read(event)


def learned(*payloads):
    """A template that was shown events with these *payloads*, and how many it read in full."""
    read = Counting()
    template = Template(read)
    for payload in payloads:
        (said,) = read._read(f"data: {payload}\n\n")
        template.learn(f"data: {payload}\n\n", payload, said)
    return template, read.events


@pytest.mark.parametrize("key", ["content", "reasoning_content"])
def test_all_events_that_are_like_one_are_read_at_once(key):
    template, proofs = learned(chunk(key, "a"))
    chunks = [chunk(key, text) for text in ("b", "c\\n", "é")]
    text = "".join(f"data: {one}\n\n" for one in chunks)
    events, payloads = [], []
    assert template.read(text + "data: [DONE]\n\n", 0, events, payloads) == len(text)
    said = ["b", "c\n", "é"]
    assert events == [Delta(one) if key == "content" else Delta("", one) for one in said]
    assert payloads == chunks
    assert proofs == 1


def test_half_an_event_is_not_read():
    template, _ = learned(chunk("content", "a"))
    events = []
    assert template.read(f"data: {chunk('content', 'b')}\n", 0, events, []) == 0
    assert events == []


def test_a_stream_whose_events_are_never_alike_is_not_learned_from_for_ever():
    _, proofs = learned(*like('{"id":"***","choices":[{"index":0,"delta":{"content":"a"}}]}', *"bcdefghij"))
    assert proofs <= 3


@given(streams(), st.lists(st.integers(0, 400), max_size=6))
def test_what_is_learned_changes_nothing_however_the_bytes_are_cut(chunks, cuts):
    data = "".join(f"data: {chunk}\n\n" for chunk in chunks).encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    answers = []
    for template in (Template, Full):
        reader = StreamReader(dialect("openai"))
        reader._template = template(reader._apart)
        events = [event for i, j in pairwise(places) for event in reader.feed(data[i:j])]
        answers.append(events + reader.close(complete=True))
    assert answers[0] == answers[1]


def test_a_mark_of_the_byte_order_is_no_part_of_what_is_learned():
    first, second = (f"\ufeffdata: {chunk('content', text)}\n\n".encode() for text in "ab")
    reader = StreamReader(dialect("openai"))
    assert (reader.feed(first), reader.feed(second)) == ([Delta("a")], [])
