from __future__ import annotations

import pytest

from pytest_llmperf.wire.dialects import kind_of
from pytest_llmperf.wire.openai import OpenAI
from pytest_llmperf.wire.reader import StreamReader

CHUNK = b'data: {"choices": [{"index": %d, "delta": {"content": "a"}}]}\n\n'
FINISH = b'data: {"choices": [{"index": %d, "delta": {}, "finish_reason": "stop"}]}\n\n'


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", False),
        (CHUNK % 0, False),
        (CHUNK % 0 + FINISH % 0, True),
        (CHUNK % 0 + CHUNK % 1 + FINISH % 0, False),
        (b"data: [DONE]\n\n", True),
    ],
    ids=["nothing", "unfinished", "finished", "one-of-two", "done"],
)
def test_an_answer_is_whole_once_every_choice_has_finished(data, whole):
    reader = StreamReader(OpenAI())
    reader.feed(data)
    assert reader.whole is whole


def test_a_path_that_asks_no_model_has_no_dialect():
    assert (kind_of("/v1/completions"), kind_of("/v1/models?x=/completions")) == ("openai", None)
