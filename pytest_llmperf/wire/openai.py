"""The OpenAI dialect: chat and text completions, as vLLM, SGLang, TGI, llama.cpp and others speak it.

Reference: https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_llmperf.core.exchange import Tokens
from pytest_llmperf.wire.dialect import Call, MalformedAnswerError, Request
from pytest_llmperf.wire.endpoint import openai_url
from pytest_llmperf.wire.errors import failure_of_finish, failure_of_object
from pytest_llmperf.wire.events import Delta, Event, Failed, Finish, ServerTimes, ToolCallDelta, Usage
from pytest_llmperf.wire.json_value import (
    JsonObject,
    as_count,
    as_items,
    as_object,
    as_seconds,
    as_text,
    dumps,
)
from pytest_llmperf.wire.schema_format import response_format
from pytest_llmperf.wire.sse import SseFrames

_MS = 1e-3


class OpenAI:
    """``/v1/chat/completions`` and ``/v1/completions``."""

    def request(self, base_url: str, call: Call) -> Request:
        """What to send; usage is asked for in every stream, unless ``stream_options=None``."""
        body: dict[str, object] = {"model": call.model}
        if isinstance(call.prompt, str):
            path, body["prompt"] = "/completions", call.prompt
        else:
            path, body["messages"] = "/chat/completions", list(call.prompt)
        if call.schema is not None:
            body["response_format"] = response_format(call.schema)
        if call.tools is not None:
            body["tools"] = list(call.tools)
        if call.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        body |= call.params
        sent = {name: value for name, value in body.items() if value is not None}
        return Request(url=openai_url(base_url, path), body=dumps(sent))

    def frames(self) -> SseFrames:
        """Streams are server-sent events."""
        return SseFrames()

    def read_chunk(self, payload: JsonObject) -> list[Event]:
        """The deltas, ends, usage and errors of one chunk."""
        text = _only_text(payload)
        return _events(payload, part="delta") if text is None else [Delta(text)]

    def read_answer(self, payload: JsonObject) -> list[Event]:
        """The same for a plain answer."""
        events = _events(payload, part="message")
        if not any(isinstance(event, _ANSWERS) for event in events):
            raise MalformedAnswerError("the answer has no choices")
        return events


#: A plain answer brings one of these.
_ANSWERS = (Delta, Failed)
#: A chunk, or its choice, that has one of these may say more than a piece of text.
_CHUNK_SAYS = frozenset({"error", "detail", "timings", "x_groq"})
_CHOICE_SAYS = frozenset({"error", "detail", "object", "text", "message"})
#: Where tool calls are.
_CALLS = frozenset({"tool_calls", "function_call"})


def _only_text(payload: JsonObject) -> str | None:
    """The text of a chunk that says nothing else, None for any other.

    Nearly every chunk is one; `_events` reads it the same way in four times the time.
    """
    choices = payload.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not _CHUNK_SAYS.isdisjoint(payload):
        return None
    if payload.get("usage") or payload.get("object") == "error":
        return None
    choice = choices[0]
    if not isinstance(choice, dict) or choice.get("index") != 0 or choice.get("finish_reason"):
        return None
    delta = choice.get("delta")
    if not isinstance(delta, dict) or len(delta) != 1 or not _CHOICE_SAYS.isdisjoint(choice):
        return None
    text = delta.get("content")
    return text if isinstance(text, str) else None


def _events(payload: JsonObject, *, part: str) -> list[Event]:
    events: list[Event] = []
    failure = failure_of_object(payload)
    if failure is not None:
        events.append(Failed(failure=failure))
    choices = payload.get("choices")
    if choices is not None and not isinstance(choices, list):
        raise MalformedAnswerError("choices is not an array")
    for choice in choices or ():
        events += _choice(choice, part)
    tokens = _told_tokens(payload)
    if tokens is not None:
        events.append(Usage(tokens=tokens))
    timings = as_object(payload.get("timings"))
    if timings:
        events.append(_times(timings))
    return events


def _choice(choice: object, part: str) -> list[Event]:
    if not isinstance(choice, dict):
        raise MalformedAnswerError("a choice is not an object")
    number = as_count(choice.get("index")) or 0
    # some servers send `message` in streams too
    said = as_object(choice.get(part) or choice.get("message"))
    delta = Delta(
        content=_text(said.get("content")) + as_text(said.get("refusal")) + _text(choice.get("text")),
        reasoning=_text(said.get("reasoning")) or _text(said.get("reasoning_content")),
        tool_calls=() if _CALLS.isdisjoint(said) else tuple(_tool_calls(said)),
        choice=number,
    )
    events: list[Event] = [delta]
    failure = failure_of_object(choice)  # OpenRouter puts errors here
    if failure is not None:
        events.append(Failed(failure=failure))
    reason = choice.get("finish_reason")
    reason = reason if isinstance(reason, str) else as_text(as_object(reason).get("type"))
    if reason:
        failure = failure_of_finish(reason)
        events.append(Finish(reason=reason, choice=number) if failure is None else Failed(failure=failure))
    return events


def _text(value: object) -> str:
    """Text, or the texts of a list of parts (Mistral)."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return "".join(_text(as_object(part).get("text")) for part in value)
    raise MalformedAnswerError("the content is not text")


def _tool_calls(said: JsonObject) -> Iterator[ToolCallDelta]:
    for call in as_items(said.get("tool_calls")):
        fields = as_object(call)
        function = as_object(fields.get("function"))
        yield ToolCallDelta(
            index=as_count(fields.get("index")),
            id=as_text(fields.get("id")),
            name=as_text(function.get("name")),
            arguments=_arguments(function.get("arguments")),
        )
    legacy = as_object(said.get("function_call"))
    if legacy:
        yield ToolCallDelta(
            index=0, name=as_text(legacy.get("name")), arguments=_arguments(legacy.get("arguments"))
        )


def _arguments(value: object) -> str:
    """JSON text; some servers send the object itself."""
    return value if isinstance(value, str) else json.dumps(value) if value else ""


def _told_tokens(payload: JsonObject) -> Tokens | None:
    # Groq hides it one level down
    usage = as_object(payload.get("usage")) or as_object(as_object(payload.get("x_groq")).get("usage"))
    # llama.cpp counts in its timings in every answer, also where usage was not asked for
    timings = as_object(payload.get("timings"))
    if not usage and not timings:
        return None
    tokens = _tokens(usage) if usage else _timed_tokens(timings)
    return None if tokens.input is None and tokens.output is None else tokens


def _tokens(usage: JsonObject) -> Tokens:
    cached = as_object(usage.get("prompt_tokens_details")).get("cached_tokens")
    reasoning = as_object(usage.get("completion_tokens_details")).get("reasoning_tokens")
    return Tokens(
        input=as_count(usage.get("prompt_tokens")),
        output=as_count(usage.get("completion_tokens")),
        cached=as_count(usage.get("prompt_cache_hit_tokens") if cached is None else cached),
        reasoning=as_count(usage.get("reasoning_tokens") if reasoning is None else reasoning),
    )


def _timed_tokens(timings: JsonObject) -> Tokens:
    cached, evaluated = as_count(timings.get("cache_n")), as_count(timings.get("prompt_n"))
    return Tokens(
        input=None if evaluated is None else evaluated + (cached or 0),
        output=as_count(timings.get("predicted_n")),
        cached=cached,
    )


def _times(timings: JsonObject) -> ServerTimes:
    return ServerTimes(
        prompt_s=as_seconds(timings.get("prompt_ms"), unit_s=_MS),
        generate_s=as_seconds(timings.get("predicted_ms"), unit_s=_MS),
    )
