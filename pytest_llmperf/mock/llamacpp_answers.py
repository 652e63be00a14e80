"""What llama.cpp's server answers, field by field as recorded."""

from __future__ import annotations

from typing import Any

from pytest_llmperf.mock.dialect import Frames, encode_json, sse, to_bytes
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.logprobs import logprobs
from pytest_llmperf.mock.pieces import split_pieces, token_ids
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.vllm_chat import call_id

_FINGERPRINT = "b9999-0c1e570"


def timings(generation: Generation, timing: Timing) -> dict[str, Any]:
    """The times of an answer, as the server tells them."""
    prompt, cached = generation.ask.prompt_tokens, generation.cached_tokens
    read, made = max(1, prompt - cached), generation.completion_tokens
    prompt_ms = max(1e-3, (timing.first_ns - timing.started_ns) / 1e6)
    made_ms = max(1e-3, (timing.last_ns - timing.first_ns) / 1e6)
    return {
        "cache_n": cached,
        "prompt_n": read,
        "prompt_ms": round(prompt_ms, 3),
        "prompt_per_token_ms": prompt_ms / read,
        "prompt_per_second": read / prompt_ms * 1e3,
        "predicted_n": made,
        "predicted_ms": round(made_ms, 3),
        "predicted_per_token_ms": made_ms / max(1, made - 1),
        "predicted_per_second": max(1, made - 1) / made_ms * 1e3,
    }


def _usage(generation: Generation) -> dict[str, Any]:
    prompt, made = generation.ask.prompt_tokens, generation.completion_tokens
    return {
        "completion_tokens": made,
        "prompt_tokens": prompt,
        "total_tokens": prompt + made,
        "prompt_tokens_details": {"cached_tokens": generation.cached_tokens},
    }


def _logprobs(pieces: tuple[str, ...], top: int | None) -> dict[str, Any] | None:
    shown = logprobs(pieces, top)
    return None if shown is None else {"content": [_entry(one) for one in shown["content"]]}


def _entry(shown: dict[str, Any]) -> dict[str, Any]:
    """One token, in llama.cpp's order and with its id."""
    entry: dict[str, Any] = {
        "id": token_ids(shown["token"])[0],
        "token": shown["token"],
        "bytes": shown["bytes"],
        "logprob": shown["logprob"],
    }
    if "top_logprobs" in shown:
        entry["top_logprobs"] = [_entry(one) for one in shown["top_logprobs"]]
    return entry


def _with_logprobs(choice: dict[str, Any], shown: dict[str, Any] | None) -> dict[str, Any]:
    return choice if shown is None else {**choice, "logprobs": shown}


def chat(generation: Generation, timing: Timing) -> bytes:
    """The body of a chat answer."""
    choices = []
    for choice in generation.choices:
        message: dict[str, Any] = {"role": "assistant", "content": None if choice.tool_calls else choice.text}
        if choice.reasoning:
            message["reasoning_content"] = "".join(choice.reasoning)
        if choice.tool_calls:
            message["tool_calls"] = [
                {
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                    "id": call_id(generation, at),
                }
                for at, (name, arguments) in enumerate(choice.tool_calls)
            ]
        shown = _logprobs(choice.pieces, generation.ask.top_logprobs)
        one = {"finish_reason": choice.finish, "index": choice.index, "message": message}
        choices.append(_with_logprobs(one, shown))
    return to_bytes(
        {
            "choices": choices,
            "created": generation.created,
            "model": generation.ask.said.model,
            "system_fingerprint": _FINGERPRINT,
            "object": "chat.completion",
            "usage": _usage(generation),
            "id": generation.id,
            "timings": timings(generation, timing),
        }
    )


def _chunk(generation: Generation, choices: list[dict[str, Any]], **more: Any) -> bytes:
    body = {
        "choices": choices,
        "created": generation.created,
        "id": generation.id,
        "model": generation.ask.said.model,
        "system_fingerprint": _FINGERPRINT,
        "object": "chat.completion.chunk",
    }
    return sse(encode_json({**body, **more}))


def _one(choice: Choice, delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"finish_reason": finish, "index": choice.index, "delta": delta, **more}


def chat_events(generation: Generation, _include_usage: int) -> Frames:
    """The events of a streamed chat answer, but the last."""
    frames: Frames = []
    for choice in generation.choices:
        frames.append((0, _chunk(generation, [_one(choice, {"role": "assistant", "content": None})])))
        step = 0
        for piece in choice.reasoning:
            frames.append((step, _chunk(generation, [_one(choice, {"reasoning_content": piece})])))
            step += 1
        for at, (name, arguments) in enumerate(choice.tool_calls):
            for number, piece in enumerate(split_pieces(arguments)):
                function = {"arguments": piece} if number else {"name": name, "arguments": piece}
                call: dict[str, Any] = {"index": at, "function": function}
                if not number:
                    call = {
                        "index": at,
                        "id": call_id(generation, at),
                        "type": "function",
                        "function": function,
                    }
                frames.append((step, _chunk(generation, [_one(choice, {"tool_calls": [call]})])))
                step += 1
        for piece in () if choice.tool_calls else choice.pieces:
            if piece:
                shown = _logprobs((piece,), generation.ask.top_logprobs)
                one = _with_logprobs(_one(choice, {"content": piece}), shown)
                frames.append((step, _chunk(generation, [one])))
            step += 1
    frames.sort(key=lambda frame: frame[0])
    return frames


def chat_end(generation: Generation, include_usage: int, timing: Timing) -> bytes:
    """Its last events: why it ended, and what it took."""
    told = timings(generation, timing)
    finals = [[_one(choice, {}, choice.finish)] for choice in generation.choices]
    if not include_usage:
        return b"".join(_chunk(generation, final, timings=told) for final in finals)
    ends = [_chunk(generation, final) for final in finals]
    return b"".join(ends) + _chunk(generation, [], usage=_usage(generation), timings=told)


def completion(generation: Generation, timing: Timing) -> bytes:
    """The body of a text completion."""
    top = generation.ask.top_logprobs
    choices = [
        _text(choice, choice.text, choice.finish, _logprobs(choice.pieces, top))
        for choice in generation.choices
    ]
    return to_bytes({**_completion_base(generation, choices), **_completion_tail(generation, timing)})


def completion_events(generation: Generation, _include_usage: int) -> Frames:
    """The events of a streamed text completion, but the last."""
    frames: Frames = []
    for choice in generation.choices:
        for step, piece in enumerate(choice.pieces):
            if piece:
                shown = _logprobs((piece,), generation.ask.top_logprobs)
                body = {
                    **_completion_base(generation, [_text(choice, piece, None, shown)]),
                    "id": generation.id,
                }
                frames.append((step, sse(encode_json(body))))
    frames.sort(key=lambda frame: frame[0])
    return frames


def completion_end(generation: Generation, _include_usage: int, timing: Timing) -> bytes:
    """Its last events."""
    tail = _completion_tail(generation, timing)
    return b"".join(
        sse(encode_json({**_completion_base(generation, [_text(choice, "", choice.finish)]), **tail}))
        for choice in generation.choices
    )


def _text(choice: Choice, text: str, finish: str | None, shown: Any = None) -> dict[str, Any]:
    return {"text": text, "index": choice.index, "logprobs": shown, "finish_reason": finish}


def _completion_base(generation: Generation, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "choices": choices,
        "created": generation.created,
        "model": generation.ask.said.model,
        "system_fingerprint": _FINGERPRINT,
        "object": "text_completion",
    }


def _completion_tail(generation: Generation, timing: Timing) -> dict[str, Any]:
    return {"usage": _usage(generation), "id": generation.id, "timings": timings(generation, timing)}
