"""Ollama's /v1, as its sources have it; its own interface is in `ollama.py`."""

from __future__ import annotations

from dataclasses import replace
from time import time
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.demands import USUAL, chat_fields, completion_fields
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
from pytest_llmperf.mock.ollama import message
from pytest_llmperf.mock.vllm import PLAIN

_OLLAMA = Flavour(
    envelope=lambda _: {"system_fingerprint": "fp_ollama"},
    message=lambda choice, generation: {
        "role": "assistant",
        "content": "" if choice.tool_calls else choice.text,
        **({"reasoning": "".join(choice.reasoning)} if choice.reasoning else {}),
        **({"tool_calls": tool_calls(choice, generation)} if choice.tool_calls else {}),
    },
    role_delta={"role": "assistant", "content": ""},
    every_delta={"role": "assistant", "content": ""},
    last_delta={},
    reasoning_key="reasoning",
    finish=lambda choice: {"finish_reason": choice.finish},
    going_on={"finish_reason": None},
    usage=counts,
)


def _chat(request: Any) -> dict[str, Any]:
    if isinstance(request, dict):
        if not request.get("messages"):
            raise Refusal(status=400, message="[] is too short - 'messages'")
        if not request.get("model"):
            raise Refusal(status=400, message="model is required")
    return chat_fields(request)


def _completion(request: Any) -> dict[str, Any]:
    if isinstance(request, dict) and not request.get("model"):
        raise Refusal(status=404, message="model '' not found")
    return completion_fields(request)


def _inputs(texts: list[str]) -> None:
    if texts == [""]:
        raise Refusal(status=400, message="invalid input")


def _ollama_refusal(refused: Refusal) -> tuple[int, bytes]:
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(refused.status, "api_error")
    told = {"message": message(refused, empty="EOF"), "type": kind, "param": None, "code": None}
    return refused.status, to_bytes({"error": told})


OLLAMA = replace(
    PLAIN,
    name="ollama",
    head=HeadWriter(
        "HTTP/1.1 {status} {reason}{type}{more}\r\nDate: {date}{length}{chunked}{close}", title=True
    ),
    lost_type=b"text/plain",
    demands=replace(USUAL, chat=_chat, completion=_completion, inputs=_inputs),
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
    new_id=lambda bits: str(100 + bits % 900),
)
