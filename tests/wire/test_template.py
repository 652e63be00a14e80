"""Chunks that are read by what they have in common say what they say when they are read in full."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.wire import reader
from pytest_llmperf.wire.answer import Answer
from pytest_llmperf.wire.dialects import dialect
from pytest_llmperf.wire.reader import StreamReader
from pytest_llmperf.wire.template import Template


class Full(Template):
    """Learns nothing."""

    def learn(self, event, payload, said):
        pass


def one_by_one(reader, pieces):
    return [event for piece in pieces for event in reader.feed(piece)]


def together(reader, pieces):
    return reader.feed(b"".join(pieces))


def in_runs(reader, pieces):
    """As an attempt does it that has all of them at once."""
    events = []
    at = 0
    while at < len(pieces):
        texts = reader.texts(pieces, at)
        assert texts is None or texts.texts
        events += reader.feed(pieces[at]) if texts is None else texts.deltas
        at += 1 if texts is None else len(texts.counts)
    return events


def read(pieces, template, feed):
    """What a reader says of the *pieces*, what it keeps of them, and what it says of their end."""
    reader = StreamReader(dialect("openai"))
    reader._template = template(reader._template._read)
    return feed(reader, pieces), list(reader.payloads), reader.close(complete=True)


def agree(pieces):
    """Whether what is learned changes nothing that is read, however the *pieces* come."""
    expected = read(pieces, Full, one_by_one)
    return all(read(pieces, Template, feed) == expected for feed in (one_by_one, together, in_runs))


def framed(chunks):
    return [f"data: {chunk}\n\n".encode() for chunk in chunks]


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
    assert agree(framed(chunks))


USUAL = '{"choices":[{"index":0,"delta":{"content":"a"}}]}'
pieces = st.lists(st.sampled_from([*USUAL.partition('"a"'), '"b"', r'"\n"']))


@given(st.lists(pieces.map("".join) | st.text(alphabet='{}[]":,a0', max_size=30), max_size=5))
@example([USUAL.partition('a"')[0] + "b"])
def test_what_is_learned_makes_no_json_of_what_is_none(chunks):
    assert agree(framed([USUAL, *chunks]))


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
    assert agree(framed(chunks))


A, B = framed([chunk("content", text) for text in "ab"])
HEAD, TAIL = B.split(b'"b"')
EMPTY = HEAD + b'""' + TAIL


@pytest.mark.parametrize(
    "pieces",
    [
        # what is no string where one should be, and takes its neighbours in
        [A, HEAD + b'"b",["c"' + TAIL, HEAD + b'"d"],"e"' + TAIL],
        [A, HEAD + b'"b",{"c":"d"' + TAIL, HEAD + b'"e":1},"f"' + TAIL],
        [A, HEAD + b'"b\\"' + TAIL, HEAD + b'"c","d"' + TAIL],
        [A, HEAD + b'"b","c"' + TAIL, HEAD + b'"d"' + TAIL],
        # cut elsewhere than between the events
        [A, B[:30], B[30:] + A],
        [A, B + B[:-1], b"\n" + A, B],
        [A, B[:-1], b"\n"],
        # several in a piece, and other things with them
        [A, B + A, B, A + B + A],
        [A, B, A + b": a comment\n\n" + B, b"event: x\n" + A, B],
        # the JSON text is somewhere else in the event, too
        [b": " + A[6:-2] + b"\n" + A, b": " + B[6:-2] + b"\n" + A, A],
        [A[:-2] + b"\n: " + A[6:], A[:-2] + b"\n: " + B[6:], A],
        # fields that are not data, and other ends of a line
        [b"id: 1\n" + A, b"id: 1\n" + B, b"id: 2\n" + A],
        [A.replace(b"\n", b"\r\n"), B.replace(b"\n", b"\r\n"), B.replace(b"\n", b"\r")],
        [A, HEAD + b'"\xff"' + TAIL, B],
        [A, EMPTY, B, A],
        [A, B + EMPTY + A, B],
        [A, HEAD + b'"' + TAIL, B],
        [b"\xef\xbb\xbf" + A, b"\xef\xbb\xbf" + B, B],
    ],
)
def test_pieces_that_only_look_alike_are_read_in_full(pieces):
    assert agree(pieces)


class Counting:
    """Reads JSON texts in full, and counts them."""

    def __init__(self):
        self._read = StreamReader(dialect("openai"))._template._read
        self.events = 0

    def __call__(self, payload):
        self.events += 1
        return self._read(payload)


def learned(*payloads):
    """A template that was shown events with these *payloads*, and how many it read in full."""
    read = Counting()
    template = Template(read)
    for payload in payloads:
        (said,) = read._read(payload.encode())
        template.learn(f"data: {payload}\n\n".encode(), payload.encode(), said)
    return template, read.events


@pytest.mark.parametrize("key", ["content", "reasoning_content"])
def test_all_events_that_are_like_one_are_read_at_once(key):
    template, proofs = learned(chunk(key, "a"))
    pieces = framed([chunk(key, text) for text in ("b", "c\\n", "é")])
    assert template.texts([A, *pieces, b"data: [DONE]\n\n"], 1) == (
        ["b", "c\n", "é"],
        [1, 1, 1],
        key != "content",
    )
    assert proofs == 1


def test_a_piece_may_be_several_events():
    template, _ = learned(chunk("content", "a"))
    assert template.texts([B, A + B, A], 0).counts == [1, 2, 1]


def test_a_text_that_is_empty_is_none_and_changes_nothing_for_the_next_one():
    template, _ = learned(chunk("content", "a"))
    assert template.texts([EMPTY, B], 0) is None
    assert template.texts([B, EMPTY, B], 0).counts == [1]
    assert template.texts([B], 0).texts == ["b"]


def test_half_an_event_is_not_read():
    template, _ = learned(chunk("content", "a"))
    assert template.texts([B[:-1]], 0) is None


def test_what_fails_once_is_not_tried_for_ever():
    template, _ = learned(chunk("content", "a"))
    assert template.texts([HEAD + b'"b","c"' + TAIL], 0) is None
    assert template.texts([B], 0) is None


def test_a_stream_whose_events_are_never_alike_is_not_learned_from_for_ever():
    _, proofs = learned(*like('{"id":"***","choices":[{"index":0,"delta":{"content":"a"}}]}', *"bcdefghij"))
    assert proofs <= 3


@given(streams(), st.lists(st.integers(0, 400), max_size=6))
def test_what_is_learned_changes_nothing_however_the_bytes_are_cut(chunks, cuts):
    data = b"".join(framed(chunks))
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert agree([data[i:j] for i, j in pairwise(places)])


def test_alike_events_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(reader, "MAX_ANSWER_BYTES", 3 * len(A))
    *said, failed = one_by_one(StreamReader(dialect("openai")), [A, B, B, B, B])
    assert (len(said), failed.failure.kind) == (4, FailureKind.MALFORMED)


@pytest.mark.parametrize("key", ["content", "reasoning_content"])
def test_an_answer_is_the_same_of_texts_together_and_of_their_deltas(key):
    template, _ = learned(chunk(key, "a"))
    texts = template.texts(framed([chunk(key, text) for text in ("b", "c", "é")]), 0)
    together, apart = Answer(), Answer()
    together.add_texts(texts)
    for delta in texts.deltas:
        apart.add(delta)
    said = [(answer.text, answer.reasoning, answer.characters) for answer in (together, apart)]
    assert said[0] == said[1] == (("bcé", "", 3) if key == "content" else ("", "bcé", 3))
