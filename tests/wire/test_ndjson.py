from __future__ import annotations

import pytest

from pytest_llmperf.wire.ndjson import NdjsonFrames


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b" \n\n  ", []),
    ],
    ids=["lines", "crlf-and-no-last-end", "blank"],
)
def test_every_line_that_is_not_blank_is_a_frame(data, expected):
    ndjson = NdjsonFrames()
    assert [frame.payload for frame in ndjson.feed(data) + ndjson.close()] == expected
