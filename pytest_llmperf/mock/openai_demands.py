"""What OpenAI refuses, in the words that its users report."""

from __future__ import annotations

from typing import Any

from pytest_llmperf.mock.checks import Refusal, flag
from pytest_llmperf.mock.demands import USUAL, Demands, chat_fields, completion_fields, nothing

_MOST_STOPS = 4
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
#: Whole numbers and others, with their least and greatest values.
_WHOLE: dict[str, tuple[float, float | None]] = {
    "n": (1, 128),
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
    "top_logprobs": (0, 20),
}
_DECIMAL: dict[str, tuple[float, float | None]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}


def _chat(request: Any) -> dict[str, Any]:
    _check_model(request)
    return _checked(chat_fields(request))


def _completion(request: Any) -> dict[str, Any]:
    _check_model(request)
    return _checked(completion_fields(request))


def _check_model(request: Any) -> None:
    if isinstance(request, dict) and not request.get("model"):
        raise Refusal(status=400, message="you must provide a model parameter", shape="own")


def _checked(request: dict[str, Any]) -> dict[str, Any]:
    for kind, ranges in (("integer", _WHOLE), ("decimal", _DECIMAL)):
        for name, (least, most) in ranges.items():
            value = request.get(name)
            only_echo = name == "max_tokens" and value == 0 and flag(request.get("echo"))
            if isinstance(value, int | float) and not only_echo:
                _check_range(kind, name, value, least, most)
    stops = request.get("stop")
    if isinstance(stops, list) and len(stops) > _MOST_STOPS:
        raise Refusal(
            status=400,
            message=f"Invalid 'stop': array too long. Expected an array with maximum length {_MOST_STOPS}, "
            f"but got an array with length {len(stops)} instead.",
            param="stop",
            shape="own",
            value="array_above_max_length",
        )
    if request.get("stream_options") is not None and not flag(request.get("stream")):
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refusal(status=400, message=text, param="stream_options", shape="own")
    return request


def _check_range(kind: str, name: str, value: float, least: float, most: float | None) -> None:
    if value < least:
        side, bound = "below minimum", f">= {least:g}"
    elif most is not None and value > most:
        side, bound = "above maximum", f"<= {most:g}"
    else:
        return
    raise Refusal(
        status=400,
        message=f"Invalid '{name}': {kind} {side} value. Expected a value {bound}, but got {value} instead.",
        param=name,
        shape="own",
        value=f"{kind}_{side[:9].replace(' ', '_')}_value",
    )


def _messages(messages: list[Any]) -> None:
    USUAL.messages(messages)
    for at, message in enumerate(messages):
        if message["role"] not in _ROLES:
            known = ", ".join(f"'{role}'" for role in _ROLES[:-1]) + f", and '{_ROLES[-1]}'"
            raise Refusal(
                status=400,
                message=f"Invalid value: '{message['role']}'. Supported values are: {known}.",
                param=f"messages[{at}].role",
                shape="own",
                value="invalid_value",
            )


def _inputs(texts: list[str]) -> None:
    if not all(texts):
        text = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        raise Refusal(status=400, message=text, shape="own")


OPENAI_DEMANDS = Demands(
    chat=_chat,
    completion=_completion,
    messages=_messages,
    values=nothing,
    length=nothing,
    inputs=_inputs,
)
