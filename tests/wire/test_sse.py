from __future__ import annotations

import pytest

from pytest_llmperf.wire.frames import Frame
from pytest_llmperf.wire.sse import SseFrames


def frames(*pieces: bytes) -> list[Frame]:
    sse = SseFrames()
    return [frame for piece in pieces for frame in sse.feed(piece)] + sse.close()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\rdata: b\n\n", [b"a\nb"]),
        (b"data: a\r\n\n", [b"a"]),
        (b"data: a\n\ndata: b", [b"a", b"b"]),
        (b"data: a\n\ndata: b\n", [b"a", b"b"]),
        (b": comment\n\ndata: a\n\n", [b"a"]),
        (b": OPENROUTER PROCESSING\n\n:\n\ndata: a\n\n", [b"a"]),
        (b"id: 7\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data\n\n", [b""]),
        (b"\n\n\n", []),
        (b"", []),
    ],
    ids=[
        "plain",
        "no-space",
        "one-space-only",
        "crlf",
        "cr",
        "multi-line",
        "multi-line-by-cr",
        "mixed-line-ends",
        "last-without-blank-line",
        "last-with-half-of-it",
        "comment",
        "keep-alives",
        "other-fields",
        "byte-order-mark",
        "field-without-colon",
        "blank-lines",
        "nothing",
    ],
)
def test_frames_by_the_standard(data, expected):
    assert [frame.payload for frame in frames(data)] == expected


def test_the_event_name_belongs_to_one_event():
    assert frames(b"event: error\ndata: a\n\ndata: b\n\n") == [Frame(b"a", "error"), Frame(b"b")]


def test_an_event_without_data_is_none():
    assert frames(b"event: ping\n\ndata: a\n\n") == [Frame(b"a")]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (b"data: a\n", Frame(b"a\nx")),
        (b"event: error\n", Frame(b"x", "error")),
        (b"da", None),
        (b"data: a", Frame(b"adata: x")),
        (b"\r", Frame(b"x")),
    ],
    ids=["field", "name", "half a field", "half a line", "half a line end"],
)
def test_a_piece_that_is_an_event_by_itself_goes_on_with_what_came_before(before, expected):
    assert frames(before, b"data: x\n\n") == ([] if expected is None else [expected])


def test_a_byte_order_mark_is_one_at_the_beginning_only():
    assert frames(b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n") == [Frame(b"a")]
