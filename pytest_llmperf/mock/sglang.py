"""SGLang's server, as its documentation and sources have it."""

from __future__ import annotations

from dataclasses import replace
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
from pytest_llmperf.mock.vllm import BARE_HEAD, PLAIN


def _sglang_message(choice: Choice, generation: Generation) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None if choice.tool_calls else choice.text,
        "reasoning_content": "".join(choice.reasoning) or None,
        "tool_calls": tool_calls(choice, generation) or None,
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
    usage=lambda generation: {**counts(generation), "prompt_tokens_details": None, "reasoning_tokens": 0},
)


def _sglang_refusal(refused: Refusal) -> tuple[int, bytes]:
    kind = "BadRequestError" if refused.type == "Bad Request" else refused.type
    return refused.status, to_bytes(
        {"object": "error", "message": refused.message, "type": kind, "param": None, "code": refused.status}
    )


SGLANG = replace(
    PLAIN,
    name="sglang",
    head=HeadWriter(
        "HTTP/1.1 {status} {reason}\r\ndate: {date}\r\nserver: uvicorn{more}{length}{type}{close}{chunked}"
    ),
    bare_head=BARE_HEAD,
    redirects=True,
    refusal=_sglang_refusal,
    lenient=frozenset({"model"}),
    chat=chat(_SGLANG),
    chat_events=chat_events(_SGLANG),
    completion=completion(_SGLANG),
    completion_events=completion_events(_SGLANG),
    new_id="{:032x}".format,
)
