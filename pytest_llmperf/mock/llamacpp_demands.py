"""What llama.cpp's server refuses: little, each in a sentence. What it cannot use it passes over."""

from __future__ import annotations

import json
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.demands import Demands, nothing

_MOST_TOKENS = 2**31 - 1
_USUAL_LOGPROBS = 20  # alternatives that are shown when nobody says how many
_PLACES = 4  # answers to one request, as many as the server has slots
_NUMBERS = (
    "n", "seed", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p",
    "presence_penalty", "frequency_penalty", "repeat_penalty", "top_logprobs",
)  # fmt: skip
_TYPES = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_PARTS = ("text", "image_url", "input_audio", "input_video")
_FORMATS = ("text", "json_object", "json_schema", "", None)


def _chat(request: Any) -> dict[str, Any]:
    if not isinstance(request, dict) or "messages" not in request:
        raise _refused("'messages' is required")
    _check_messages(request["messages"])
    _check_format(request.get("response_format"))
    _check_tools(request)
    if request.get("top_logprobs") and not request.get("logprobs"):
        raise _refused("top_logprobs requires logprobs to be set to true")
    usable = _usable(request)
    _drop_unknown_choice(usable)
    if usable.get("logprobs"):
        shown = usable.setdefault("top_logprobs", _USUAL_LOGPROBS)
        usable["logprobs"] = shown > 0  # none of them: none at all
    return usable


def _drop_unknown_choice(request: dict[str, Any]) -> None:
    """A tool that is named but not there is as good as none named."""
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if name not in [tool["function"]["name"] for tool in request.get("tools", ())]:
            del request["tool_choice"]


def _completion(request: Any) -> dict[str, Any]:
    if not isinstance(request, dict) or "prompt" not in request:
        raise _refused("[json.exception.out_of_range.403] key 'prompt' not found")
    prompt = request["prompt"]
    if prompt == []:
        raise _refused('"prompt" must not be empty')
    if not isinstance(prompt, str | list):
        raise _refused(
            '"prompt" elements must be a string, a list of tokens, a JSON object containing a prompt string, '
            "or a list of mixed strings & tokens."
        )
    usable = _usable({key: value for key, value in request.items() if key != "logprobs"})
    usable["prompt"] = prompt or " "  # an empty prompt is one token, the beginning
    shown = request.get("logprobs")
    if isinstance(shown, int) and shown > 0:
        usable["logprobs"] = shown
    usable.pop("echo", None)
    return usable


def _usable(request: dict[str, Any]) -> dict[str, Any]:
    """*request* with what has a type that the server can use."""
    _check_types(request)
    _check_range(request, "n", 1, _PLACES)
    for name in ("max_tokens", "max_completion_tokens"):
        _check_range(request, name, -1, _MOST_TOKENS)
    usable = {key: value for key, value in request.items() if value is not None}
    usable.pop("structured_outputs", None)  # vLLM's
    for name, kind in (("stop", str | list), ("stream_options", dict), ("model", str), ("tools", list)):
        if name in usable and not isinstance(usable[name], kind):
            del usable[name]
    _drop_unusable_schema(usable)
    if usable.get("stop") == "" or "" in usable.get("stop", ()):
        usable["stop"] = []
    return usable


def _check_types(request: dict[str, Any]) -> None:
    stream = request.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _wrong_type("stream", "boolean", stream)
    for name in _NUMBERS:
        value = request.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise _wrong_type(name, "number", value)
    stop = request.get("stop")
    for one in stop if isinstance(stop, list) else ():
        if not isinstance(one, str):
            raise _wrong_type("stop", "string", one)


def _drop_unusable_schema(request: dict[str, Any]) -> None:
    wanted = request.get("response_format")
    if not isinstance(wanted, dict):
        request.pop("response_format", None)
    elif wanted.get("type") == "json_schema":
        holder = wanted.get("json_schema")
        if not isinstance(holder, dict) or not isinstance(holder.get("schema"), dict):
            del request["response_format"]


def _check_range(request: dict[str, Any], name: str, low: int, high: int) -> None:
    value = request.get(name)
    if value is None:
        return
    shown = int(value) if abs(value) < 2**63 else -(2**31)  # what a cast to 32 bits makes of it
    if not low <= shown <= high:
        raise _refused(f"Field '{name}': Value must be between {low} <= value <= {high}, but got {shown}")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise _refused("Expected 'messages' to be an array")
    for message in messages:
        _check_content(message)
    for message in messages:
        if "role" not in message:
            raise _failed(f"messages: Missing 'role' in message: {_dumped(message)}")
        if not isinstance(message["role"], str):
            given = _TYPES.get(type(message["role"]), "null")
            raise _failed(f"messages: [json.exception.type_error.302] type must be string, but is {given}")


def _check_content(message: Any) -> None:
    if not isinstance(message, dict) or ("content" not in message and message.get("role") != "assistant"):
        raise _refused("All non-assistant messages must contain 'content'")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise _refused("Expected 'content' to be a string or an array")
    for part in content:
        if not isinstance(part, dict) or part.get("type") not in _PARTS:
            raise _refused("unsupported content[].type")
        if part["type"] == "text" and "text" not in part:
            raise _failed("messages: [json.exception.out_of_range.403] key 'text' not found")


def _check_format(wanted: Any) -> None:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in _FORMATS:
        text = f'response_format type must be one of "text" or "json_object", but got: {kind}'
        raise _refused(text)


def _check_tools(request: dict[str, Any]) -> None:
    choice, tools = request.get("tool_choice"), request.get("tools")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise _refused(f"Invalid tool_choice: {choice}")
    for tool in tools if isinstance(tools, list) else ():
        problem = None
        if not isinstance(tool, dict) or "type" not in tool:
            problem = f"Missing tool type: {_dumped(tool)}"
        elif not isinstance(tool.get("function"), dict):
            problem = f"Missing tool function: {_dumped(tool)}"
        elif "name" not in tool["function"]:
            problem = "[json.exception.out_of_range.403] key 'name' not found"
        if problem is not None:
            raise _failed(f"tools: {problem}; tools = {json.dumps(tools, indent=2, ensure_ascii=False)}")


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _wrong_type(name: str, wanted: str, value: Any) -> Refusal:
    given = _TYPES.get(type(value), "null")
    return _refused(f"Field '{name}': [json.exception.type_error.302] type must be {wanted}, but is {given}")


def _refused(message: str) -> Refusal:
    return Refusal(status=400, message=message, shape="own")


def _failed(message: str) -> Refusal:
    return Refusal(status=500, message=f"Failed to parse {message}", shape="own")


LLAMACPP_DEMANDS = Demands(
    chat=_chat, completion=_completion, messages=nothing, values=nothing, length=nothing
)
