"""What vLLM's request models accept: each field with its type and bounds, and the words of a refusal.

Wording follows recordings of vLLM 0.32 (pydantic's, as its error handler prints them).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True, eq=False)
class Refusal(Exception):  # noqa: N818 - an answer, not a defect
    """A request that is answered with an error."""

    status: int
    message: str
    type: str = "BadRequestError"
    param: str | None = None
    shape: str = "plain"  #: what went wrong, for dialects with words of their own
    value: Any = None


@dataclass(frozen=True, slots=True)
class _Fault:
    type: str
    message: str


MAX_N = 128  #: answers to one request
_MISSING = _Fault("missing", "Field required")
Check = Callable[[Any], _Fault | None]


def _number(value: Any) -> _Fault | None:
    if isinstance(value, int | float) and abs(value) < 1e300:
        return None
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return _Fault(
                "float_parsing", "Input should be a valid number, unable to parse string as a number"
            )
        return None
    return _Fault("float_type", "Input should be a valid number")


def _whole(value: Any) -> _Fault | None:
    if isinstance(value, int):
        return None
    if isinstance(value, float):
        if value.is_integer():
            return None
        return _Fault(
            "int_from_float", "Input should be a valid integer, got a number with a fractional part"
        )
    if isinstance(value, str):
        try:
            int(value)
        except ValueError:
            return _Fault(
                "int_parsing", "Input should be a valid integer, unable to parse string as an integer"
            )
        return None
    return _Fault("int_type", "Input should be a valid integer")


_TRUE = ("true", "1", "on", "yes", "t", "y")
_FALSE = ("false", "0", "off", "no", "f", "n")


def _flag(value: Any) -> _Fault | None:
    if isinstance(value, bool) or value in (0, 1):
        return None
    if isinstance(value, str | int | float):
        if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
            return None
        return _Fault("bool_parsing", "Input should be a valid boolean, unable to interpret input")
    return _Fault("bool_type", "Input should be a valid boolean")


def _string(value: Any) -> _Fault | None:
    return None if isinstance(value, str) else _Fault("string_type", "Input should be a valid string")


def _mapping(value: Any) -> _Fault | None:
    return None if isinstance(value, dict) else _Fault("dict_type", "Input should be a valid dictionary")


def _list(value: Any) -> _Fault | None:
    return None if isinstance(value, list) else _Fault("list_type", "Input should be a valid list")


def _stop(value: Any) -> _Fault | None:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return None
    return _Fault("string_type", "Input should be a valid string")


def _any(_: Any) -> _Fault | None:
    return None


_COMMON: dict[str, Check] = {
    "model": _string,
    "stream": _flag,
    "stream_options": _mapping,
    "temperature": _number,
    "top_p": _number,
    "top_k": _whole,
    "min_p": _number,
    "n": _whole,
    "seed": _whole,
    "stop": _stop,
    "max_tokens": _whole,
    "max_completion_tokens": _whole,
    "presence_penalty": _number,
    "frequency_penalty": _number,
    "response_format": _mapping,
    "user": _string,
    "include_stop_str_in_output": _flag,
}
CHAT: dict[str, Check] = {
    **_COMMON,
    "messages": _list,
    "logprobs": _flag,
    "top_logprobs": _whole,
    "tools": _list,
    "tool_choice": _any,
}
COMPLETION: dict[str, Check] = {**_COMMON, "prompt": _any, "logprobs": _whole, "echo": _flag}
TOKENIZE: dict[str, Check] = {"model": _string, "messages": _list, "prompt": _string}


_decode = json.JSONDecoder().raw_decode


def parse_body(body: bytes) -> Any:
    """The JSON of a request body; Refusal in FastAPI's words when it is none."""
    if not body:
        raise validation([("missing", "body", "Field required", None, None)])
    try:
        text = body.decode()
        value, end = _decode(text)  # json.loads looks for an encoding, and for space at both ends
        if end == len(text):
            return value
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise validation(
            [("json_invalid", f"body.{error.pos}", "JSON decode error", {}, {"error": error.msg})],
            shape="json",
        ) from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise Refusal(
            status=400, message="There was an error parsing the body", type="Bad Request", shape="json"
        ) from None


def check_fields(request: Any, checks: dict[str, Check], *, required: tuple[str, ...]) -> dict[str, Any]:
    """*request* with its known fields of the right type; unknown fields are let through, as vLLM does."""
    if not isinstance(request, dict):
        text = "Input should be a valid dictionary or object to extract fields from"
        raise validation([("model_attributes_type", "body", text, request, None)])
    problems = [
        ("missing", f"body.{name}", _MISSING.message, request, None)
        for name in required
        if name not in request
    ]
    for name, value in request.items():
        check = checks.get(name)
        if check is None or (value is None and name not in required):
            continue
        fault = check(value)
        if fault is not None:
            problems.append((fault.type, f"body.{name}", fault.message, value, None))
    if problems:
        raise validation(problems)
    return request


def validation(problems: list[tuple[str, str, str, Any, Any]], *, shape: str = "validation") -> Refusal:
    """The refusal that lists *problems*: (type, location, message, input, context)."""
    lines = []
    for kind, where, message, given, context in problems:
        shown = {"type": kind, "loc": where, "msg": message, "input": _shown(given)}
        if context is not None:
            shown["ctx"] = context
        lines.append(f"  {shown}")
    count = len(problems)
    return Refusal(
        status=400,
        message=f"{count} validation error{'s' if count > 1 else ''}:\n" + "\n".join(lines),
        type="Bad Request",
        param=problems[0][1],
        shape=f"{shape}:{problems[0][0]}",
        value=problems[0][3],
    )


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return f"<dict of {len(value)} items>"
    if isinstance(value, list):
        return f"<list of {len(value)} items>"
    if isinstance(value, str) and len(value) > 200:
        return value[:200] + "..."
    return value


def bad_parameter(name: str, message: str, value: Any) -> Refusal:
    """The words for a value that its sampler does not take."""
    return Refusal(
        status=400,
        message=f"{message} (parameter={name}, value={value})",
        param=name,
        shape="sampling",
        value=value,
    )


def number(value: Any, default: float) -> float:
    """A checked number field as a float."""
    return default if value is None else float(value)


def whole(value: Any, default: int) -> int:
    """A checked integer field as an int."""
    return default if value is None else int(value)


def flag(value: Any) -> bool:
    """A checked boolean field as a bool."""
    return value.lower() in _TRUE if isinstance(value, str) else bool(value)


_SAMPLING = frozenset(
    {
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "presence_penalty",
        "temperature",
        "top_p",
    }
)


def check_sampling(request: dict[str, Any]) -> None:
    """The bounds of vLLM's SamplingParams."""
    if _SAMPLING.isdisjoint(request):
        return
    get = request.get
    if (temperature := get("temperature")) is not None and float(temperature) < 0:
        raise bad_parameter(
            "temperature", f"temperature must be non-negative, got {float(temperature)}.", float(temperature)
        )
    if (top_p := get("top_p")) is not None and not 0 < float(top_p) <= 1:
        raise bad_parameter("top_p", f"top_p must be in (0, 1], got {float(top_p)}.", float(top_p))
    if (n := get("n")) is not None and int(n) < 1:
        raise bad_parameter("n", f"n must be at least 1, got {int(n)}.", int(n))
    if n is not None and int(n) > MAX_N:
        raise bad_parameter("n", f"n must be at most {MAX_N}, got {int(n)}.", int(n))
    for name in ("presence_penalty", "frequency_penalty"):
        if (penalty := get(name)) is not None and not -2 <= float(penalty) <= 2:
            raise bad_parameter(name, f"{name} must be in [-2, 2], got {float(penalty)}.", float(penalty))
    for name in ("max_completion_tokens", "max_tokens"):
        if (limit := get(name)) is not None and int(limit) < 1:
            raise bad_parameter(name, f"max_tokens must be at least 1, got {int(limit)}.", int(limit))
