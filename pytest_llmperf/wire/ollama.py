"""Ollama's own dialect: ``/api/chat`` and ``/api/generate``.

Reference: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pytest_llmperf.core.exchange import Tokens
from pytest_llmperf.wire.dialect import Call, MalformedAnswerError, Request
from pytest_llmperf.wire.endpoint import root_url
from pytest_llmperf.wire.errors import failure_of_finish, failure_of_object
from pytest_llmperf.wire.events import (
    Delta,
    Done,
    Event,
    Failed,
    Finish,
    ServerTimes,
    ToolCallDelta,
    Usage,
)
from pytest_llmperf.wire.json_value import (
    JsonObject,
    as_count,
    as_items,
    as_object,
    as_seconds,
    as_text,
    dumps,
)
from pytest_llmperf.wire.ndjson import NdjsonFrames

_NS = 1e-9

#: parameters that stand beside the model; all others are generation options
_TOP_LEVEL = {
    "context",
    "format",
    "images",
    "keep_alive",
    "logprobs",
    "options",
    "raw",
    "stream",
    "suffix",
    "system",
    "template",
    "think",
    "top_logprobs",
}
_RENAMED = {"max_tokens": "num_predict", "max_completion_tokens": "num_predict"}


class Ollama:
    """``/api/chat`` and ``/api/generate``, streamed as one JSON object per line."""

    def request(self, base_url: str, call: Call) -> Request:
        """What to send. OpenAI's names of parameters are translated."""
        body: dict[str, object] = {"model": call.model}
        if isinstance(call.prompt, str):
            path, body["prompt"] = "/api/generate", call.prompt
        else:
            path, body["messages"] = "/api/chat", list(call.prompt)
        if call.schema is not None:
            body["format"] = call.schema
        if call.tools is not None:
            body["tools"] = list(call.tools)
        body["stream"] = call.stream
        body |= _translated(call.params)
        return Request(url=root_url(base_url, path), body=dumps(body))

    def frames(self) -> NdjsonFrames:
        """Streams are one JSON object per line."""
        return NdjsonFrames()

    def read_chunk(self, payload: JsonObject) -> list[Event]:
        """The piece, the statistics and the errors of one line."""
        return list(_events(payload))

    def read_answer(self, payload: JsonObject) -> list[Event]:
        """The same for a plain answer, which is a last line with all of the text."""
        events = list(_events(payload))
        if not any(isinstance(event, Done | Failed) for event in events):
            raise MalformedAnswerError("the answer does not say that it is done")
        return events


def _translated(params: Mapping[str, object]) -> dict[str, object]:
    beside = {name: value for name, value in params.items() if name in _TOP_LEVEL and value is not None}
    options = {
        _RENAMED.get(name, name): value
        for name, value in params.items()
        if name not in _TOP_LEVEL and value is not None
    }
    given = beside.pop("options", {})
    if not isinstance(given, Mapping):
        raise TypeError("options is not a mapping")
    options |= given
    return beside | ({"options": options} if options else {})


def _events(payload: JsonObject) -> Iterator[Event]:
    failure = failure_of_object(payload)
    if failure is not None:
        yield Failed(failure=failure)
        return
    message = as_object(payload.get("message"))
    content, thinking = (
        (message or payload).get("content" if message else "response"),
        (message or payload).get("thinking"),
    )
    if not isinstance(content, str | None) or not isinstance(thinking, str | None):
        raise MalformedAnswerError("the content is not text")
    yield Delta(content=content or "", reasoning=thinking or "", tool_calls=tuple(_tool_calls(message)))
    if payload.get("done") is True:
        reason = as_text(payload.get("done_reason")) or "stop"
        failure = failure_of_finish(reason)
        yield Finish(reason=reason) if failure is None else Failed(failure=failure)
        yield from _statistics(payload)
        yield Done()


def _tool_calls(message: JsonObject) -> Iterator[ToolCallDelta]:
    """Whole calls: Ollama does not stream their arguments."""
    for call in as_items(message.get("tool_calls")):
        function = as_object(as_object(call).get("function"))
        yield ToolCallDelta(
            id=as_text(as_object(call).get("id")),
            name=as_text(function.get("name")),
            arguments=json.dumps(as_object(function.get("arguments"))),
        )


def _statistics(payload: JsonObject) -> Iterator[Event]:
    # the count of the prompt is left away when all of it came from the cache
    tokens = Tokens(
        input=as_count(payload.get("prompt_eval_count")), output=as_count(payload.get("eval_count"))
    )
    if tokens.input is not None or tokens.output is not None:
        yield Usage(tokens=tokens)
    yield ServerTimes(
        load_s=as_seconds(payload.get("load_duration"), unit_s=_NS),
        prompt_s=as_seconds(payload.get("prompt_eval_duration"), unit_s=_NS),
        generate_s=as_seconds(payload.get("eval_duration"), unit_s=_NS),
    )
