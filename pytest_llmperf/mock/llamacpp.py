"""llama.cpp's server, field by field as recorded from build 9999."""

from __future__ import annotations

from dataclasses import replace
from time import time
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import Frames, HeadWriter, encode_json, sse, to_bytes
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.llamacpp_demands import LLAMACPP_DEMANDS
from pytest_llmperf.mock.logprobs import logprobs
from pytest_llmperf.mock.pieces import split_pieces, token_ids
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.vllm import PLAIN
from pytest_llmperf.mock.vllm_chat import call_id

_FINGERPRINT = "b9999-0c1e570"
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LOST = b'{"error":{"message":"File Not Found","type":"not_found_error","code":404}}'
_TYPES = {"float_parsing": "number", "float_type": "number", "int_parsing": "number", "int_type": "number"}


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


def _chat(generation: Generation, timing: Timing) -> bytes:
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


def _chat_events(generation: Generation, _include_usage: int) -> Frames:
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


def _chat_end(generation: Generation, include_usage: int, timing: Timing) -> bytes:
    told = timings(generation, timing)
    finals = [[_one(choice, {}, choice.finish)] for choice in generation.choices]
    if not include_usage:
        return b"".join(_chunk(generation, final, timings=told) for final in finals)
    ends = [_chunk(generation, final) for final in finals]
    return b"".join(ends) + _chunk(generation, [], usage=_usage(generation), timings=told)


def _completion(generation: Generation, timing: Timing) -> bytes:
    top = generation.ask.top_logprobs
    choices = [
        _text(choice, choice.text, choice.finish, _logprobs(choice.pieces, top))
        for choice in generation.choices
    ]
    return to_bytes({**_completion_base(generation, choices), **_completion_tail(generation, timing)})


def _completion_events(generation: Generation, _include_usage: int) -> Frames:
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


def _completion_end(generation: Generation, _include_usage: int, timing: Timing) -> bytes:
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


def _refusal(refused: Refusal) -> tuple[int, bytes]:
    """The error in llama.cpp's words; codes and kinds as recorded."""
    status, kind, message, more = refused.status, "invalid_request_error", refused.message, {}
    shape = refused.shape
    if shape == "own":
        kind = "server_error" if status >= 500 else kind
    elif shape.startswith("json") or refused.param == "body":
        status, kind, message = (
            500,
            "server_error",
            f"[json.exception.parse_error.101] {_parse_error(refused)}",
        )
    elif shape == "validation:missing":
        message = f"'{(refused.param or '').removeprefix('body.')}' is required"
    elif shape.startswith("validation:") and shape.partition(":")[2] in _TYPES:
        field = (refused.param or "").removeprefix("body.")
        wanted = _TYPES[shape.partition(":")[2]]
        message = f"Field '{field}': [json.exception.type_error.302] type must be {wanted}, but is {_json_type(refused.value)}"  # noqa: E501
    elif shape == "schema":
        reason = str(refused.value or refused.message).replace("Invalid type: ", "unrecognized type ")
        message = (
            "Unable to generate parser for this template. Automatic parser generation failed: "
            f"JSON schema error at #: {reason}"
        )
    elif shape == "context":
        window, tokens = refused.value
        kind = "exceed_context_size_error"
        message = f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"  # noqa: E501
        more = {"n_prompt_tokens": tokens, "n_ctx": window}
    elif status == 501:
        kind = "not_supported_error"
    elif status == 503:
        kind, message = "unavailable_error", "Loading model"
    elif status >= 500:
        kind = "server_error"
    return status, to_bytes({"error": {"code": status, "message": message, "type": kind, **more}})


def _parse_error(refused: Refusal) -> str:
    if refused.param == "body":
        return (
            "parse error at line 1, column 1: attempting to parse an empty input; check that your input "
            "string or stream contains the expected JSON"
        )
    at = (refused.param or "body.0").removeprefix("body.")
    column = int(at) + 1 if at.isdigit() else 1
    return (
        f"parse error at line 1, column {column}: syntax error while parsing value - unexpected character; "
        "expected '[', '{', or a literal"
    )


def _json_type(value: Any) -> str:
    return {"str": "string", "list": "array", "dict": "object", "bool": "boolean", "NoneType": "null"}.get(
        type(value).__name__, "number"
    )


def _models(names: tuple[str, ...], max_model_len: int) -> dict[str, Any]:
    now = int(time())
    blank = {
        "parent_model": "",
        "format": "gguf",
        "family": "",
        "families": [""],
        "parameter_size": "",
        "quantization_level": "",
    }
    return {
        "models": [
            {
                "name": name,
                "model": name,
                "modified_at": "",
                "size": "",
                "digest": "",
                "type": "model",
                "description": "",
                "tags": [""],
                "capabilities": ["completion"],
                "parameters": "",
                "details": blank,
            }
            for name in names
        ],
        "object": "list",
        "data": [
            {
                "id": name,
                "aliases": [name],
                "tags": [],
                "object": "model",
                "created": now,
                "owned_by": "llamacpp",
                "meta": {
                    "vocab_type": 2,
                    "n_vocab": 151936,
                    "n_ctx": max_model_len,
                    "n_ctx_train": max_model_len,
                    "n_embd": 2048,
                    "n_params": 3085938688,
                    "size": 1924530176,
                    "ftype": "Q4_K - Medium",
                },
            }
            for name in names
        ],
    }


def _new_id(bits: int) -> str:
    letters = []
    state = bits | 1 << 64
    for _ in range(32):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**128
        letters.append(_LETTERS[(state >> 64) % 62])
    return "".join(letters)


LLAMACPP = replace(
    PLAIN,
    bare_head=HeadWriter("HTTP/1.1 {status} {reason}\r\nServer: llama.cpp{close}{length}", title=True),
    demands=LLAMACPP_DEMANDS,
    errors_say_close=True,
    answers_head=True,
    redirects=False,
    name="llamacpp",
    head=HeadWriter(
        "HTTP/1.1 {status} {reason}\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: "
        "{more}{type}{length}{chunked}{close}",
        title=True,
        alive="Keep-Alive: timeout=5, max=100",
    ),
    closes_streams=True,
    closes_after=100,
    json_type=b"application/json; charset=utf-8",
    stream_type=b"text/event-stream",
    stream_extra={"X-Accel-Buffering": "no"},
    refusal=_refusal,
    not_found=lambda _method, _path: (404, _LOST),
    not_allowed=lambda _method, _path: (404, _LOST),
    models=_models,
    chat=_chat,
    chat_events=_chat_events,
    chat_end=_chat_end,
    completion=_completion,
    completion_events=_completion_events,
    completion_end=_completion_end,
    tells_times=True,
    lenient=frozenset({"own_model", "sampling", "max_tokens", "empty"}),
    new_id=_new_id,
)
