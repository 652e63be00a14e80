"""When an answer is over, and when it only stopped."""

from __future__ import annotations

import weakref

import pytest

from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.wire import reader
from pytest_llmperf.wire.dialects import DIALECTS, dialect
from pytest_llmperf.wire.reader import PlainReader, StreamReader

HELLO = b'data: {"choices":[{"delta":{"content":"hello"}}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
PLAIN = b'{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize(
    ("pieces", "complete", "kind"),
    [
        ([HELLO, STOP, DONE], True, None),
        ([HELLO, STOP], True, None),
        ([HELLO, STOP, DONE], False, None),
        ([HELLO, STOP.rstrip()], True, None),
        ([HELLO, STOP], False, FailureKind.CUT),
        ([HELLO, DONE], True, FailureKind.CUT),
        ([HELLO], True, FailureKind.CUT),
        ([HELLO, STOP[:-9]], True, FailureKind.CUT),
        ([HELLO, STOP, HELLO[:20]], True, FailureKind.CUT),
        ([HELLO[:20]], False, FailureKind.CUT),
        ([b"da"], False, FailureKind.CUT),
        ([DONE], True, FailureKind.CUT),
        ([], True, FailureKind.CUT),
        ([b": keep-alive\n\n"], True, FailureKind.CUT),
        ([b"data:\n\n"], True, FailureKind.MALFORMED),
        ([b"<html>\n<h1>It works!</h1>\n"], True, FailureKind.MALFORMED),
        ([b'{"error":{"message":"no framing"}}'], True, FailureKind.STREAM_ERROR),
        ([PLAIN], True, FailureKind.MALFORMED),
        ([HELLO, b'{"error":{"message":"no framing"}}\n\n', STOP, DONE], True, FailureKind.STREAM_ERROR),
        ([HELLO, b"\x00" + HELLO, STOP, DONE], True, FailureKind.MALFORMED),
        ([HELLO, b'{"a":1}\n\n{"b":2}\n\n', STOP, DONE], True, FailureKind.MALFORMED),
        ([HELLO, b"note: all is well\n\n", STOP, DONE], True, None),
    ],
    ids=[
        "done",
        "no-done",
        "cut-after-done",
        "no-blank-line",
        "cut-before-done",
        "no-finish",
        "no-finish-no-done",
        "inside-finish",
        "inside-event-after-finish",
        "inside-first",
        "inside-field",
        "only-done",
        "empty",
        "only-comments",
        "only-empty-events",
        "html",
        "bare-error",
        "plain-under-a-wrong-type",
        "bare-error-in-the-middle",
        "garbage-before-a-field",
        "bare-object-in-the-middle",
        "unknown-field",
    ],
)
def test_the_end_of_a_stream(pieces, complete, kind, read):
    assert read(*pieces, complete=complete).kind is kind


@pytest.mark.parametrize(
    ("data", "complete", "kind"),
    [
        (PLAIN, True, None),
        (PLAIN, False, FailureKind.CUT),
        (PLAIN[:-1], True, FailureKind.MALFORMED),
        (b"", True, FailureKind.CUT),
        (b"[]", True, FailureKind.MALFORMED),
        (b"{}", True, FailureKind.MALFORMED),
        (b'{"choices":[]}', True, FailureKind.MALFORMED),
        (b"\xff", True, FailureKind.MALFORMED),
        (b'{"error":{"message":"boom"}}', True, FailureKind.STREAM_ERROR),
        (PLAIN.replace(b"stop", b"content_filter"), True, FailureKind.CONTENT_FILTER),
        (PLAIN.replace(b'"stop"', b"null"), True, None),
    ],
    ids=[
        "whole",
        "cut",
        "half",
        "empty",
        "array",
        "object",
        "choices",
        "bytes",
        "error",
        "filter",
        "no-reason",
    ],
)
def test_the_end_of_a_plain_answer(data, complete, kind, read):
    assert read(data, streamed=False, complete=complete).kind is kind


@pytest.mark.parametrize("cls", [StreamReader, PlainReader])
def test_an_endless_answer_is_refused_once(cls, monkeypatch):
    monkeypatch.setattr(reader, "MAX_ANSWER_BYTES", 10)
    reading = cls(dialect("openai"))
    events = reading.feed(b"x" * 11) + reading.close(complete=True)
    assert [event.failure.kind for event in events] == [FailureKind.MALFORMED]


def test_an_endless_line_is_refused(monkeypatch):
    monkeypatch.setattr("pytest_llmperf.wire.lines.MAX_LINE_BYTES", 10)
    reading = StreamReader(dialect("openai"))
    assert [event.failure.kind for event in reading.feed(b"x" * 11)] == [FailureKind.MALFORMED]
    assert reading.failed


def test_the_first_failure_is_the_one_told(read):
    first = b'data: {"error":{"message":"first"}}\n\n'
    assert read(HELLO, first, first.replace(b"first", b"second")).message == "first"


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_reader_leaves_nothing_to_the_garbage_collector_whose_pauses_would_look_like_latency(kind):
    reading = StreamReader(dialect(kind))
    alive = weakref.ref(reading)
    reading.feed(b"data: {}\n\n")
    del reading
    assert alive() is None
