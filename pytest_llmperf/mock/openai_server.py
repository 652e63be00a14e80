"""OpenAI's own server, as its documentation has it."""

from __future__ import annotations

import re
from dataclasses import replace
from time import time
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import HeadWriter, to_bytes
from pytest_llmperf.mock.flavour import (
    Flavour,
    chat,
    chat_events,
    completion,
    completion_events,
    counts,
    tool_calls,
)
from pytest_llmperf.mock.generation import Choice, Generation
from pytest_llmperf.mock.openai_demands import OPENAI_DEMANDS
from pytest_llmperf.mock.vllm import PLAIN


def _openai_message(choice: Choice, generation: Generation) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if choice.tool_calls else choice.text}
    if choice.tool_calls:
        message["tool_calls"] = tool_calls(choice, generation)
    return {**message, "refusal": None, "annotations": []}


def _openai_usage(generation: Generation) -> dict[str, Any]:
    reasoning = sum(len(choice.reasoning) for choice in generation.choices)
    return {
        **counts(generation),
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
_INDEX = re.compile(r"\.(\d+)")  # of a list's entry, in a path
_OPENAI_CODES = {"model": "model_not_found", "context": "context_length_exceeded", "max_tokens": None}


def _openai_refusal(refused: Refusal) -> tuple[int, bytes]:
    message = refused.message
    param = None
    if refused.param and not refused.shape.startswith("json"):
        param = _INDEX.sub(r"[\1]", refused.param.removeprefix("body."))
    if refused.shape.startswith("json"):
        message = (
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "  # noqa: E501
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
        )
    elif refused.shape == "model":
        message = f"The model `{refused.value}` does not exist or you do not have access to it."
    elif refused.shape == "validation:missing" and refused.param:
        message = f"Missing required parameter: '{param}'."
    elif refused.shape.startswith("validation") and refused.param:
        message = f"Invalid type for '{param}'."
    kind = {429: "requests", 500: "server_error", 503: "server_error"}.get(
        refused.status, "invalid_request_error"
    )
    code = "rate_limit_exceeded" if refused.status == 429 else _OPENAI_CODES.get(refused.shape)
    if refused.shape == "own":
        code = refused.value
    elif refused.shape == "validation:missing":
        code = "missing_required_parameter"
    elif refused.shape.startswith("validation"):
        code = "invalid_type"
    return refused.status, to_bytes(
        {"error": {"message": message, "type": kind, "param": param, "code": code}}
    )


def openai_models(names: tuple[str, ...], _: int) -> dict[str, Any]:
    """The list of models."""
    listed = [{"id": name, "object": "model", "created": int(time()), "owned_by": "openai"} for name in names]
    return {"object": "list", "data": listed}


def _openai_lost(method: str, path: str) -> bytes:
    text = f"Invalid URL ({method} {path})"
    return to_bytes(
        {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}}
    )


OPENAI = replace(
    PLAIN,
    name="openai",
    pads=True,
    head=HeadWriter("HTTP/1.1 {status} {reason}\r\ndate: {date}{type}{length}{chunked}{more}{close}"),
    refusal=_openai_refusal,
    not_found=lambda method, path: (404, _openai_lost(method, path)),
    not_allowed=lambda method, path: (405, _openai_lost(method, path)),
    models=openai_models,
    demands=OPENAI_DEMANDS,
    lenient=frozenset({"sampling"}),  # it has ranges of its own
    chat=chat(_OPENAI),
    chat_events=chat_events(_OPENAI),
    completion=completion(_OPENAI),
    completion_events=completion_events(_OPENAI),
)
