"""Ollama's own interface: /api/chat, /api/generate and what lists models, as its sources have it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from time import time_ns
from typing import Any
from zlib import crc32

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.conversation import Conversation, after_marker, from_messages, text_of
from pytest_llmperf.mock.dialect import Frames, to_bytes
from pytest_llmperf.mock.generation import Ask, Choice, Generation
from pytest_llmperf.mock.instance import check_schema
from pytest_llmperf.mock.native import texts
from pytest_llmperf.mock.pieces import count_tokens
from pytest_llmperf.mock.plan import Timing

VERSION = "0.12.6"
SIZE = 2019393189  #: bytes of every model
JSON = b"application/json; charset=utf-8"
#: What fields of requests must be, and what Go calls it.
_TYPES: dict[str, tuple[type, str]] = {
    "model": (str, "string"),
    "stream": (bool, "bool"),
    "messages": (list, "[]api.Message"),
    "options": (dict, "map[string]interface {}"),
    "prompt": (str, "string"),
    "system": (str, "string"),
    "tools": (list, "api.Tools"),
    "raw": (bool, "bool"),
}
#: What Python's json says of a character that should not be there, and what Go's does.
_SYNTAX = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
}


def refusal(refused: Refusal) -> tuple[int, bytes]:
    """``{"error": "..."}``."""
    return refused.status, to_bytes({"error": message(refused, empty="missing request body")})


def message(refused: Refusal, *, empty: str) -> str:
    """What is wrong, in the server's words; *empty*: of a request without a body."""
    if refused.shape == "model":
        return f"model '{refused.value}' not found"
    if refused.shape.startswith("json"):
        return _syntax(refused)
    return empty if refused.shape == "validation:missing" and refused.param == "body" else refused.message


def _syntax(refused: Refusal) -> str:
    """Go's words for a body that is no JSON."""
    error: json.JSONDecodeError | None = refused.value
    if error is None or error.msg.startswith("Unterminated") or error.pos >= len(error.doc):
        return "unexpected EOF"
    where = _SYNTAX.get(error.msg, "looking for beginning of value")
    return f"invalid character {_go_quoted(error.doc[error.pos])} {where}"


def chat_ask(
    request: Any, *, models: tuple[str, ...], max_model_len: int, marker: str | None, role: str | None
) -> Ask:
    """What an /api/chat request asks for."""
    model = checked_model(request, models, kind="Chat")
    messages = [message for message in request.get("messages") or () if isinstance(message, dict)]
    said = from_messages(messages, model=model, marker=marker, role=role)
    tokens = sum(count_tokens(text_of(message.get("content"))) for message in messages)
    functions = tuple(
        tool["function"]
        for tool in request.get("tools") or ()
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict) and "name" in tool["function"]
    )
    ask = _ask(request, said, tokens, max_model_len)
    ask.tools = functions
    ask.tool_choice = "auto" if functions else "none"
    return ask


def generate_ask(
    request: Any, *, models: tuple[str, ...], max_model_len: int, marker: str | None, role: str | None
) -> Ask:
    """What an /api/generate request asks for."""
    model = checked_model(request, models, kind="Generate")
    prompt, system = request.get("prompt") or "", request.get("system") or ""
    said = Conversation(model=model, user=after_marker(prompt, marker), system=system, history=(), role=role)
    return _ask(request, said, count_tokens(prompt) + count_tokens(system), max_model_len)


def is_unload(request: Any) -> bool:
    """Whether a request that asks nothing is to free the model's memory at once."""
    return request.get("keep_alive") in (0, "0", "0s")  # not a set: it may be a list


def is_streamed(request: Any) -> bool:
    """Whether the answer to *request* comes line by line."""
    return request.get("stream") is not False


def is_load(request: Any) -> bool:
    """Whether a request only loads the model: nothing is asked."""
    return not (request.get("messages") or request.get("prompt"))


def understood(choice: Choice) -> Choice:
    """*choice* as Ollama reads it: a tool call whose arguments are no JSON object stays a text."""
    try:
        calls = [json.loads(arguments) for _, arguments in choice.tool_calls]
    except (ValueError, RecursionError):
        calls = [None]
    if all(isinstance(one, dict) for one in calls):
        return choice
    return replace(choice, tool_calls=(), finish="stop")


def chat_line(generation: Generation, text: str, key: str = "content") -> dict[str, Any]:
    """One line of a streamed /api/chat answer."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    message[key] = text
    return {"model": generation.ask.said.model, "created_at": now(), "message": message, "done": False}


def chat_events(generation: Generation) -> Frames:
    """The lines before the last."""
    choice = generation.choices[0]
    frames: Frames = []
    step = 0
    for piece in choice.reasoning:
        frames.append((step, _line(chat_line(generation, piece, "thinking"))))
        step += 1
    if choice.tool_calls:  # whole calls, in one line
        line = chat_line(generation, "")
        line["message"]["tool_calls"] = _calls(choice)
        frames.append((max(0, choice.tokens - 2), _line(line)))
        return frames
    for piece in choice.pieces:
        if piece:
            frames.append((step, _line(chat_line(generation, piece))))
        step += 1
    return frames


def chat_end(generation: Generation, timing: Timing) -> bytes:
    """The last line: statistics."""
    end = {"message": {"role": "assistant", "content": ""}, "done": True}
    return _line(_whole(generation, timing, end))


def chat(generation: Generation, timing: Timing) -> bytes:
    """The answer of /api/chat without streaming."""
    choice = generation.choices[0]
    message: dict[str, Any] = {"role": "assistant", "content": "" if choice.tool_calls else choice.text}
    if choice.reasoning:
        message["thinking"] = "".join(choice.reasoning)
    if choice.tool_calls:
        message["tool_calls"] = _calls(choice)
    return to_bytes(_whole(generation, timing, {"message": message, "done": True}))


def generate_events(generation: Generation) -> Frames:
    """The lines of /api/generate before the last."""
    choice = generation.choices[0]
    model = generation.ask.said.model
    said = [
        *({"response": "", "thinking": piece} for piece in choice.reasoning),
        *({"response": piece} for piece in choice.pieces),
    ]
    return [
        (step, _line({"model": model, "created_at": now(), **one, "done": False}))
        for step, one in enumerate(said)
        if any(one.values())
    ]


def generate_end(generation: Generation, timing: Timing) -> bytes:
    """The last line: statistics."""
    return _line(_whole(generation, timing, {"response": "", "done": True}, context=True))


def generate(generation: Generation, timing: Timing) -> bytes:
    """The answer of /api/generate without streaming."""
    choice = generation.choices[0]
    said = {"response": choice.text}
    if choice.reasoning:
        said["thinking"] = "".join(choice.reasoning)
    return to_bytes(_whole(generation, timing, {**said, "done": True}, context=True))


def loaded(request: Any, *, chat: bool) -> bytes:
    """The answer to a request that only loads the model, or unloads it."""
    content: dict[str, Any] = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    return to_bytes(
        {
            "model": request["model"],
            "created_at": now(),
            **content,
            "done": True,
            "done_reason": "unload" if is_unload(request) else "load",
        }
    )


def tags(models: tuple[str, ...]) -> Any:
    """/api/tags."""
    return {"models": [_model(name) | {"modified_at": "2026-01-01T00:00:00Z"} for name in models]}


def running(models: tuple[str, ...], max_model_len: int) -> Any:
    """/api/ps."""
    until = datetime.fromtimestamp(time_ns() / 1e9 + 300, UTC).isoformat().replace("+00:00", "Z")
    return {
        "models": [
            _model(name) | {"expires_at": until, "size_vram": SIZE, "context_length": max_model_len}
            for name in models
        ]
    }


def show(request: Any, *, models: tuple[str, ...], max_model_len: int) -> Any:
    """/api/show."""
    name = checked_model(request, models, kind="Show")
    return {
        "modelfile": f"FROM {name}\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _model(name)["details"],
        "model_info": {"general.architecture": "mock", "mock.context_length": max_model_len},
        "capabilities": ["completion", "tools"],
        "modified_at": "2026-01-01T00:00:00Z",
    }


def now() -> str:
    """The time as Go writes it."""
    nanoseconds = time_ns()
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 1_000_000_000:09d}Z"


def _ask(request: dict[str, Any], said: Conversation, tokens: int, max_model_len: int) -> Ask:
    options = request.get("options") or {}
    limit = options.get("num_predict")
    limit = limit if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0 else None
    form = request.get("format") or None
    if isinstance(form, dict):
        check_schema(form)
    elif form not in (None, "json"):
        text = (
            f'invalid format: {json.dumps(json.dumps(form))}; expected "json" or a valid JSON Schema object'
        )
        raise Refusal(status=500, message=text)
    window = (
        min(max_model_len, options["num_ctx"]) if isinstance(options.get("num_ctx"), int) else max_model_len
    )
    prompt_tokens = min(tokens, max(1, window - 1))  # Ollama cuts what does not fit, without a word
    return Ask(
        said=said,
        prompt_tokens=prompt_tokens,
        max_tokens=max(1, max_model_len - prompt_tokens) if limit is None else limit,
        stop=texts(options.get("stop")),
        json_object=form == "json",
        schema=form if isinstance(form, dict) else None,
    )


def checked_model(request: Any, models: tuple[str, ...], *, kind: str) -> str:
    """The model that a request of that *kind* names; Refusal when it is not here, or a type is wrong."""
    if not isinstance(request, dict):
        text = f"json: cannot unmarshal {_go_kind(request)} into Go value of type api.{kind}Request"
        raise Refusal(status=400, message=text)
    for key, (wanted, name) in _TYPES.items():
        value = request.get(key)
        if value is not None and not isinstance(value, wanted):
            field = f"Go struct field {kind}Request.{key} of type {name}"
            raise Refusal(status=400, message=f"json: cannot unmarshal {_go_kind(value)} into {field}")
    model = request.get("model") or request.get("name") or ""
    if not isinstance(model, str) or not model:
        if kind in ("Generate", "Embed"):
            raise Refusal(status=404, message="model '' not found")
        raise Refusal(status=400, message="model is required")
    if models and model not in models and f"{model}:latest" not in models:
        if kind.startswith("Embed"):
            raise Refusal(status=404, message=f'model "{model}" not found, try pulling it first')
        raise Refusal(status=404, message=f"model '{model}' not found", shape="model", value=model)
    return model


def _go_kind(value: Any) -> str:
    return {str: "string", bool: "bool", list: "array", dict: "object"}.get(type(value), "number")


def _go_quoted(character: str) -> str:
    """As Go quotes a character in an error."""
    return "'\"'" if character == '"' else r"'\''" if character == "'" else repr(character)


def _whole(
    generation: Generation, timing: Timing, body: dict[str, Any], *, context: bool = False
) -> dict[str, Any]:
    choice = generation.choices[0]
    answer: dict[str, Any] = {"model": generation.ask.said.model, "created_at": now(), **body}
    answer["done_reason"] = "length" if choice.finish == "length" else "stop"
    if context:
        answer["context"] = [crc32(piece.encode("utf-8", "replace")) % 32000 for piece in choice.pieces[:64]]
    times = {
        "total_duration": timing.last_ns - timing.arrived_ns,
        "load_duration": timing.cold_ns,
        "prompt_eval_count": generation.ask.prompt_tokens,
        "prompt_eval_duration": timing.first_ns - timing.started_ns - timing.cold_ns,
        "eval_count": generation.completion_tokens,
        "eval_duration": timing.last_ns - timing.first_ns,
    }
    return {**answer, **{key: value for key, value in times.items() if value > 0}}  # Go's omitempty


def _calls(choice: Choice) -> list[dict[str, Any]]:
    return [
        {"function": {"name": name, "arguments": json.loads(arguments)}}
        for name, arguments in choice.tool_calls
    ]


def digest(name: str) -> str:
    """Of a model's weights: made up, the same for the same name."""
    return f"{crc32(name.encode('utf-8', 'replace')):08x}" * 8


def _model(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "size": SIZE,
        "digest": digest(name),
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": "mock",
            "families": ["mock"],
            "parameter_size": "3.2B",
            "quantization_level": "Q4_K_M",
        },
    }


def _line(value: dict[str, Any]) -> bytes:
    return to_bytes(value) + b"\n"
