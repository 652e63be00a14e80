"""Servers that speak OpenAI's interface in their own way: what they share, and where they differ.

vLLM and llama.cpp, which were recorded, have writers of their own. The others follow their
documentation and sources (see docs/explanation/mock.md for what has been compared with what).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.mock.dialect import Frames, encode_json, sse, to_bytes
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.logprobs import completion_logprobs, logprobs
from pytest_llmperf.mock.pieces import split_pieces
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.vllm_chat import call_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """Where OpenAI-like servers differ."""

    envelope: Callable[[Generation], dict[str, Any]]  #: fields of every chunk and body beside the usual
    message: Callable[[Choice, Generation], dict[str, Any]]
    role_delta: dict[str, Any] | None  #: None: there is no chunk before the first token
    every_delta: dict[str, Any]  #: in every delta with content
    last_delta: dict[str, Any]  #: of the chunk that ends a choice
    reasoning_key: str
    finish: Callable[[Choice], dict[str, Any]]  #: fields of a choice beside index, delta and logprobs
    going_on: dict[str, Any]  #: the same while the answer goes on
    usage: Callable[[Generation], dict[str, Any]]
    usage_null: bool = False  #: chunks before the last carry ``"usage": null``


def chat(flavour: Flavour) -> Callable[[Generation, Timing], bytes]:
    """The writer of whole chat answers."""

    def write(generation: Generation, _: Timing) -> bytes:
        choices = [
            {
                "index": choice.index,
                "message": flavour.message(choice, generation),
                "logprobs": logprobs(choice.pieces, generation.ask.top_logprobs),
                **flavour.finish(choice),
            }
            for choice in generation.choices
        ]
        body = _base(generation, "chat.completion")
        return to_bytes(
            {**body, "choices": choices, "usage": flavour.usage(generation), **flavour.envelope(generation)}
        )

    return write


def chat_events(flavour: Flavour) -> Callable[[Generation, int], Frames]:
    """The writer of streamed chat answers."""

    def write(generation: Generation, include_usage: int) -> Frames:
        base = {**_base(generation, "chat.completion.chunk"), **flavour.envelope(generation)}
        null = {"usage": None} if flavour.usage_null and include_usage else {}
        frames: Frames = []

        def put(
            step: int, choice: Choice, delta: dict[str, Any], end: dict[str, Any], shown: Any = None
        ) -> None:
            one = {"index": choice.index, "delta": delta, "logprobs": shown, **end}
            frames.append((step, sse(encode_json({**base, "choices": [one], **null}))))

        for choice in generation.choices:
            if flavour.role_delta is not None:
                put(0, choice, flavour.role_delta, flavour.going_on)
            step = 0
            for delta, piece in _deltas(choice, generation, flavour):
                shown = logprobs((piece,), generation.ask.top_logprobs) if piece else None
                if delta:
                    put(step, choice, {**flavour.every_delta, **delta}, flavour.going_on, shown)
                step += 1  # noqa: SIM113
            put(max(0, choice.tokens - 1), choice, flavour.last_delta, flavour.finish(choice))
        frames.sort(key=lambda frame: frame[0])
        if include_usage:
            frames.append(
                (
                    generation.steps - 1,
                    sse(encode_json({**base, "choices": [], "usage": flavour.usage(generation)})),
                )
            )
        return frames

    return write


def _deltas(choice: Choice, generation: Generation, flavour: Flavour) -> list[tuple[dict[str, Any], str]]:
    """(delta, text of the token) of every step but the end."""
    deltas: list[tuple[dict[str, Any], str]] = [
        ({flavour.reasoning_key: piece}, "") for piece in choice.reasoning
    ]
    if not choice.tool_calls:
        return deltas + [({"content": piece} if piece else {}, piece) for piece in choice.pieces]
    for at, (name, arguments) in enumerate(choice.tool_calls):
        for number, piece in enumerate(split_pieces(arguments)):
            call: dict[str, Any] = {"index": at, "function": {"arguments": piece}}
            if number == 0:
                function = {"name": name, "arguments": piece}
                call = {"index": at, "id": call_id(generation, at), "type": "function", "function": function}
            deltas.append(({"tool_calls": [call]}, ""))
    return deltas


def completion(flavour: Flavour) -> Callable[[Generation, Timing], bytes]:
    """The writer of whole text completions."""

    def write(generation: Generation, _: Timing) -> bytes:
        choices = [
            {
                "index": choice.index,
                "text": choice.text,
                "logprobs": completion_logprobs(choice.pieces, generation.ask.top_logprobs),
                **flavour.finish(choice),
            }
            for choice in generation.choices
        ]
        body = _base(generation, "text_completion")
        return to_bytes(
            {**body, "choices": choices, "usage": flavour.usage(generation), **flavour.envelope(generation)}
        )

    return write


def completion_events(flavour: Flavour) -> Callable[[Generation, int], Frames]:
    """The writer of streamed text completions."""

    def write(generation: Generation, include_usage: int) -> Frames:
        base = {**_base(generation, "text_completion"), **flavour.envelope(generation)}
        frames: Frames = []
        for choice in generation.choices:
            for step, piece in enumerate(choice.pieces):
                if piece:
                    one = {"index": choice.index, "text": piece, "logprobs": None, **flavour.going_on}
                    frames.append((step, sse(encode_json({**base, "choices": [one]}))))
            one = {"index": choice.index, "text": "", "logprobs": None, **flavour.finish(choice)}
            frames.append((max(0, choice.tokens - 1), sse(encode_json({**base, "choices": [one]}))))
        frames.sort(key=lambda frame: frame[0])
        if include_usage:
            frames.append(
                (
                    generation.steps - 1,
                    sse(encode_json({**base, "choices": [], "usage": flavour.usage(generation)})),
                )
            )
        return frames

    return write


def _base(generation: Generation, kind: str) -> dict[str, Any]:
    return {
        "id": generation.id,
        "object": kind,
        "created": generation.created,
        "model": generation.ask.said.model,
    }


def tool_calls(choice: Choice, generation: Generation) -> list[dict[str, Any]]:
    """The tool calls of a whole answer."""
    return [
        {
            "id": call_id(generation, at),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for at, (name, arguments) in enumerate(choice.tool_calls)
    ]


def counts(generation: Generation) -> dict[str, Any]:
    """The three sums that everybody has."""
    prompt, output = generation.ask.prompt_tokens, generation.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
