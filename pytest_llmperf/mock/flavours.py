"""Servers that speak OpenAI's interface in their own way: OpenAI itself, SGLang, TGI.

vLLM and llama.cpp, which were recorded, have files of their own. These three follow their
documentation and sources (see docs/explanation/mock.md for what has been compared with what).
"""

# ruff: noqa: FBT001 - members of a Dialect are called by position

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import time
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import Frames, HeadWriter, encode_json, sse, to_bytes
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.pieces import split_pieces
from pytest_llmperf.mock.plan import Timing
from pytest_llmperf.mock.vllm import VLLM, call_id, completion_logprobs, logprobs


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


def chat_events(flavour: Flavour) -> Callable[[Generation, bool], Frames]:
    """The writer of streamed chat answers."""

    def write(generation: Generation, include_usage: bool) -> Frames:
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


def completion_events(flavour: Flavour) -> Callable[[Generation, bool], Frames]:
    """The writer of streamed text completions."""

    def write(generation: Generation, include_usage: bool) -> Frames:
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


def _calls(choice: Choice, generation: Generation) -> list[dict[str, Any]]:
    return [
        {
            "id": call_id(generation, at),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for at, (name, arguments) in enumerate(choice.tool_calls)
    ]


def _counts(generation: Generation) -> dict[str, Any]:
    prompt, output = generation.ask.prompt_tokens, generation.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


# --- OpenAI


def _openai_message(choice: Choice, generation: Generation) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if choice.tool_calls else choice.text}
    if choice.tool_calls:
        message["tool_calls"] = _calls(choice, generation)
    return {**message, "refusal": None, "annotations": []}


def _openai_usage(generation: Generation) -> dict[str, Any]:
    reasoning = sum(len(choice.reasoning) for choice in generation.choices)
    return {
        **_counts(generation),
        "prompt_tokens_details": {"cached_tokens": generation.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


_OPENAI = Flavour(
    envelope=lambda _: {"service_tier": "default", "system_fingerprint": "fp_0123456789"},
    message=_openai_message,
    role_delta={"role": "assistant", "content": "", "refusal": None},
    every_delta={},
    last_delta={},
    reasoning_key="reasoning_content",
    finish=lambda choice: {"finish_reason": "tool_calls" if choice.tool_calls else choice.finish},
    going_on={"finish_reason": None},
    usage=_openai_usage,
    usage_null=True,
)
_OPENAI_CODES = {"model": "model_not_found", "context": "context_length_exceeded", "max_tokens": None}


def _openai_refusal(refused: Refusal) -> tuple[int, bytes]:
    message = refused.message
    if refused.shape.startswith("json"):
        message = (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "  # noqa: E501
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
        )
    elif refused.shape == "model":
        message = f"The model `{refused.value}` does not exist or you do not have access to it."
    elif refused.shape == "validation:missing" and refused.param:
        message = f"Missing required parameter: '{refused.param.removeprefix('body.')}'."
    elif refused.shape.startswith("validation") and refused.param:
        message = f"Invalid type for '{refused.param.removeprefix('body.')}'."
    param = (
        refused.param.removeprefix("body.")
        if refused.param and not refused.shape.startswith("json")
        else None
    )
    kind = {429: "requests", 500: "server_error", 503: "server_error"}.get(
        refused.status, "invalid_request_error"
    )
    code = "rate_limit_exceeded" if refused.status == 429 else _OPENAI_CODES.get(refused.shape)
    if refused.shape == "validation:missing":
        code = "missing_required_parameter"
    return refused.status, to_bytes(
        {"error": {"message": message, "type": kind, "param": param, "code": code}}
    )


def _openai_models(names: tuple[str, ...], _: int) -> dict[str, Any]:
    listed = [{"id": name, "object": "model", "created": int(time()), "owned_by": "openai"} for name in names]
    return {"object": "list", "data": listed}


def _openai_lost(method: str, path: str) -> bytes:
    text = f"Invalid URL ({method} {path})"
    return to_bytes(
        {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}}
    )


OPENAI = replace(
    VLLM,
    name="openai",
    pads=True,
    head=HeadWriter("HTTP/1.1 {status} {reason}\r\ndate: {date}{type}{length}{chunked}{more}{close}"),
    refusal=_openai_refusal,
    not_found=lambda method, path: (404, _openai_lost(method, path)),
    not_allowed=lambda method, path: (405, _openai_lost(method, path)),
    models=_openai_models,
    chat=chat(_OPENAI),
    chat_events=chat_events(_OPENAI),
    completion=completion(_OPENAI),
    completion_events=completion_events(_OPENAI),
)


# --- SGLang


def _sglang_message(choice: Choice, generation: Generation) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None if choice.tool_calls else choice.text,
        "reasoning_content": "".join(choice.reasoning) or None,
        "tool_calls": _calls(choice, generation) or None,
    }


_SGLANG = Flavour(
    envelope=lambda _: {},
    message=_sglang_message,
    role_delta={"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None},
    every_delta={"role": None, "content": None, "reasoning_content": None, "tool_calls": None},
    last_delta={"role": None, "content": None, "reasoning_content": None, "tool_calls": None},
    reasoning_key="reasoning_content",
    finish=lambda choice: {
        "finish_reason": choice.finish,
        "matched_stop": choice.stop_reason or (151645 if choice.ends_by_token else None),
    },
    going_on={"finish_reason": None, "matched_stop": None},
    usage=lambda generation: {**_counts(generation), "prompt_tokens_details": None, "reasoning_tokens": 0},
)


def _sglang_refusal(refused: Refusal) -> tuple[int, bytes]:
    kind = "BadRequestError" if refused.type == "Bad Request" else refused.type
    return refused.status, to_bytes(
        {"object": "error", "message": refused.message, "type": kind, "param": None, "code": refused.status}
    )


SGLANG = replace(
    VLLM,
    name="sglang",
    head=HeadWriter(
        "HTTP/1.1 {status} {reason}\r\ndate: {date}\r\nserver: uvicorn{more}{length}{type}{close}{chunked}"
    ),
    refusal=_sglang_refusal,
    lenient=frozenset({"model"}),
    chat=chat(_SGLANG),
    chat_events=chat_events(_SGLANG),
    completion=completion(_SGLANG),
    completion_events=completion_events(_SGLANG),
    new_id="{:032x}".format,
)


# --- Text Generation Inference

_TGI_END = {"stop": "stop", "length": "length", "tool_calls": "stop"}
_TGI = Flavour(
    envelope=lambda _: {"system_fingerprint": "3.3.6-native"},
    message=lambda choice, generation: (
        {"role": "assistant", "tool_calls": _calls(choice, generation)}
        if choice.tool_calls
        else {"role": "assistant", "content": choice.text}
    ),
    role_delta=None,
    every_delta={"role": "assistant", "content": ""},
    last_delta={"role": "assistant", "content": ""},
    reasoning_key="reasoning_content",
    finish=lambda choice: {"finish_reason": _TGI_END[choice.finish]},
    going_on={"finish_reason": None},
    usage=_counts,
    usage_null=True,
)


def _tgi_refusal(refused: Refusal) -> tuple[int, bytes]:
    if refused.status in (429, 503):
        return 429, to_bytes({"error": "Model is overloaded", "error_type": "overloaded"})
    status = 422 if refused.status in (400, 404) else refused.status
    return status, to_bytes(
        {"error": f"Input validation error: {refused.message}", "error_type": "validation"}
    )


TGI = replace(
    VLLM,
    name="tgi",
    head=HeadWriter("HTTP/1.1 {status} {reason}{type}{more}{length}{chunked}{close}\r\ndate: {date}"),
    stream_type=b"text/event-stream",
    refusal=_tgi_refusal,
    not_found=lambda _method, _path: (404, b""),
    not_allowed=lambda _method, _path: (405, b""),
    lenient=frozenset({"model"}),
    models=_openai_models,
    chat=chat(_TGI),
    chat_events=chat_events(_TGI),
    completion=completion(_TGI),
    completion_events=completion_events(_TGI),
    new_id=lambda _: "",
)


# --- Ollama's /v1

_OLLAMA = Flavour(
    envelope=lambda _: {"system_fingerprint": "fp_ollama"},
    message=lambda choice, generation: {
        "role": "assistant",
        "content": "" if choice.tool_calls else choice.text,
        **({"reasoning": "".join(choice.reasoning)} if choice.reasoning else {}),
        **({"tool_calls": _calls(choice, generation)} if choice.tool_calls else {}),
    },
    role_delta={"role": "assistant", "content": ""},
    every_delta={"role": "assistant", "content": ""},
    last_delta={},
    reasoning_key="reasoning",
    finish=lambda choice: {"finish_reason": choice.finish},
    going_on={"finish_reason": None},
    usage=_counts,
)


def _ollama_refusal(refused: Refusal) -> tuple[int, bytes]:
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(refused.status, "api_error")
    text = f"model '{refused.value}' not found" if refused.shape == "model" else refused.message
    return refused.status, to_bytes({"error": {"message": text, "type": kind, "param": None, "code": None}})


OLLAMA = replace(
    VLLM,
    name="ollama",
    head=HeadWriter(
        "HTTP/1.1 {status} {reason}{type}{more}\r\nDate: {date}{length}{chunked}{close}", title=True
    ),
    stream_type=b"text/event-stream",
    refusal=_ollama_refusal,
    not_found=lambda _method, _path: (404, b"404 page not found"),
    not_allowed=lambda _method, _path: (405, b"405 method not allowed"),
    models=lambda names, _: {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": int(time()), "owned_by": "library"} for name in names
        ],
    },
    chat=chat(_OLLAMA),
    chat_events=chat_events(_OLLAMA),
    completion=completion(_OLLAMA),
    completion_events=completion_events(_OLLAMA),
    lenient=frozenset({"sampling", "max_tokens", "tag"}),
    new_id=lambda bits: str(bits % 1000),
)
