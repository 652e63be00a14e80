from __future__ import annotations

import pytest

from pytest_llmperf.wire import lines
from pytest_llmperf.wire.lines import LineSplitter, LineTooLongError


def split(*pieces: bytes) -> list[bytes]:
    splitter = LineSplitter()
    found = [line for piece in pieces for line in splitter.feed(piece)]
    return [*found, splitter.close()]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\nb\nc", [b"a", b"b", b"c"]),
        (b"a\r\nb\r\n", [b"a", b"b", b""]),
        (b"a\rb\r", [b"a", b"b", b""]),
        (b"\n\r\n\r\r", [b"", b"", b"", b"", b""]),
        (b"", [b""]),
    ],
    ids=["lf", "crlf", "cr", "empty-lines", "nothing"],
)
def test_all_three_line_ends_count(data, expected):
    assert split(data) == expected


@pytest.mark.parametrize("data", [b"a\r\nb\r\n\r\nc", b"\r\n", b"x\ry\n\rz"], ids=["crlf", "only", "mixed"])
def test_a_cut_between_cr_and_lf_adds_no_line(data):
    assert [split(data[:i], data[i:]) for i in range(len(data) + 1)] == [split(data)] * (len(data) + 1)


def test_unicode_line_separators_do_not_split():
    text = '{"a":"x\u2028y\u0085z\u2029"}'.encode()
    assert split(text + b"\n") == [text, b""]


def test_an_endless_line_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 10)
    splitter = LineSplitter()
    splitter.feed(b"12345\n12345")
    with pytest.raises(LineTooLongError, match="10 bytes"):
        splitter.feed(b"678901")
