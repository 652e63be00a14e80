"""Text Generation Inference, as its documentation and sources have it."""

from __future__ import annotations

from dataclasses import replace

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
from pytest_llmperf.mock.openai_server import openai_models
from pytest_llmperf.mock.vllm import PLAIN

_TGI_END = {"stop": "stop", "length": "length", "tool_calls": "stop"}
_TGI = Flavour(
    envelope=lambda _: {"system_fingerprint": "3.3.6-native"},
    message=lambda choice, generation: (
        {"role": "assistant", "tool_calls": tool_calls(choice, generation)}
        if choice.tool_calls
        else {"role": "assistant", "content": choice.text}
    ),
    role_delta=None,
    every_delta={"role": "assistant", "content": ""},
    last_delta={"role": "assistant", "content": ""},
    reasoning_key="reasoning_content",
    finish=lambda choice: {"finish_reason": _TGI_END[choice.finish]},
    going_on={"finish_reason": None},
    usage=counts,
    usage_null=True,
)


_ERROR_TYPES = {422: "validation", 429: "overloaded"}


def _tgi_refusal(refused: Refusal) -> tuple[int, bytes]:
    if refused.shape == "fault":
        kind = _ERROR_TYPES.get(refused.status, "generation")
        return refused.status, to_bytes({"error": refused.message, "error_type": kind})
    if refused.status in (429, 503):
        return 429, to_bytes({"error": "Model is overloaded", "error_type": "overloaded"})
    status = 422 if refused.status in (400, 404) else refused.status
    return status, to_bytes(
        {"error": f"Input validation error: {refused.message}", "error_type": "validation"}
    )


TGI = replace(
    PLAIN,
    name="tgi",
    head=HeadWriter("HTTP/1.1 {status} {reason}{type}{more}{length}{chunked}{close}\r\ndate: {date}"),
    stream_type=b"text/event-stream",
    refusal=_tgi_refusal,
    not_found=lambda _method, _path: (404, b""),
    not_allowed=lambda _method, _path: (405, b""),
    lost_type=b"",
    lenient=frozenset({"model"}),
    models=openai_models,
    chat=chat(_TGI),
    chat_events=chat_events(_TGI),
    completion=completion(_TGI),
    completion_events=completion_events(_TGI),
    new_id=lambda _: "",
)
