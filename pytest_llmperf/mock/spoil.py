"""Faults in what is said: the form of the answer stays right."""

from __future__ import annotations

from dataclasses import replace

from pytest_llmperf.mock.faults import Fault
from pytest_llmperf.mock.generation import Ask, Choice
from pytest_llmperf.mock.pieces import split_pieces

_OTHER = '{"unexpected": [1, null, "this is valid JSON of another shape"]}'


def spoil(choices: list[Choice], ask: Ask, fault: Fault) -> list[Choice]:
    """*choices* with the fault in them."""
    if fault.kind == "empty":
        return [
            replace(choice, pieces=(), reasoning=(), tool_calls=(), finish="stop", ends_by_token=True)
            for choice in choices
        ]
    if fault.kind == "wrong_schema":
        pieces = split_pieces(_OTHER)[: ask.max_tokens]
        return [
            replace(choice, pieces=pieces, tool_calls=(), finish="stop", stop_reason=None, ends_by_token=True)
            for choice in choices
        ]
    return choices
