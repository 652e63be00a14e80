"""The fields of vLLM's requests: the type that each must have, and pydantic's words when it has not.

The tables are in the order of vLLM 0.32's request models, which is the order of its complaints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from pytest_llmperf.mock.checks import FALSE_WORDS, TRUE_WORDS, Problem, Refusal, validation

_NO_VALUE = object()


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a value."""

    type: str  #: pydantic's name for it
    message: str
    where: str = ""  #: below the field, with a dot before it
    given: Any = _NO_VALUE  #: of the value, the part that is wrong
    context: Any = None


Flaws = tuple[Flaw, ...]
Check = Callable[[Any], Flaws]

_FINE: Flaws = ()


def _number(value: Any) -> Flaws:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 1e300):
        return _FINE
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            text = "Input should be a valid number, unable to parse string as a number"
            return (Flaw("float_parsing", text),)
        return _FINE
    return (Flaw("float_type", "Input should be a valid number"),)


def _whole(value: Any) -> Flaws:
    if isinstance(value, int):
        return _FINE
    if isinstance(value, float):
        return _whole_float(value)
    if isinstance(value, str):
        try:
            int(value)
        except ValueError:
            text = "Input should be a valid integer, unable to parse string as an integer"
            return (Flaw("int_parsing", text),)
        return _FINE
    return (Flaw("int_type", "Input should be a valid integer"),)


def _whole_float(value: float) -> Flaws:
    if value.is_integer():
        return _FINE
    if not isfinite(value):
        return (Flaw("finite_number", "Input should be a finite number"),)
    text = "Input should be a valid integer, got a number with a fractional part"
    return (Flaw("int_from_float", text),)


def _flag(value: Any) -> Flaws:
    if isinstance(value, bool) or value in (0, 1):
        return _FINE
    if isinstance(value, str | int | float):
        if isinstance(value, str) and value.lower() in (*TRUE_WORDS, *FALSE_WORDS):
            return _FINE
        return (Flaw("bool_parsing", "Input should be a valid boolean, unable to interpret input"),)
    return (Flaw("bool_type", "Input should be a valid boolean"),)


def _string(value: Any) -> Flaws:
    return _FINE if isinstance(value, str) else (Flaw("string_type", "Input should be a valid string"),)


def _mapping(value: Any) -> Flaws:
    return _FINE if isinstance(value, dict) else (Flaw("dict_type", "Input should be a valid dictionary"),)


def _model(value: Any) -> Flaws:
    if isinstance(value, dict):
        return _FINE
    text = "Input should be a valid dictionary or object to extract fields from"
    return (Flaw("model_attributes_type", text),)


def _list(value: Any) -> Flaws:
    return _FINE if isinstance(value, list) else (Flaw("list_type", "Input should be a valid list"),)


def _list_of(check: Check) -> Check:
    def flaws(value: Any) -> Flaws:
        if not isinstance(value, list):
            return _list(value)
        return tuple(
            replace(flaw, where=f".{at}{flaw.where}", given=part if flaw.given is _NO_VALUE else flaw.given)
            for at, part in enumerate(value)
            for flaw in check(part)
        )

    return flaws


def _stop(value: Any) -> Flaws:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return _FINE
    return (*_string(value), *_list_of(_string)(value))


def _tool(value: Any) -> Flaws:
    if not isinstance(value, dict):
        return _model(value)
    function = value.get("function")
    if "function" not in value:
        return (Flaw("missing", "Field required", ".function"),)
    if not isinstance(function, dict):
        return tuple(replace(flaw, where=".function", given=function) for flaw in _model(function))
    if "name" not in function:
        return (Flaw("missing", "Field required", ".function.name", function),)
    return tuple(
        replace(flaw, where=".function.name", given=function["name"]) for flaw in _string(function["name"])
    )


def _response_format(value: Any) -> Flaws:
    """A union of three models: where all refuse, each says why."""
    if not isinstance(value, dict):
        return _model(value) * 3
    own = _json_format(value)
    if not own:
        return _FINE
    tag = _literal(value, "'structural_tag'")
    missing = {
        name: (Flaw("missing", "Field required", f".{name}"),)
        for name in ("format", "structures", "triggers")
        if name not in value
    }
    return (
        *own,
        *tag,
        *missing.get("format", ()),
        *tag,
        *missing.get("structures", ()),
        *missing.get("triggers", ()),
    )


def _json_format(value: dict[str, Any]) -> Flaws:
    flaws = _literal(value, "'text', 'json_object' or 'json_schema'")
    holder = value.get("json_schema")
    if holder is None:
        return flaws
    if not isinstance(holder, dict):
        return flaws + tuple(replace(flaw, where=".json_schema", given=holder) for flaw in _model(holder))
    if "name" not in holder:
        flaws += (Flaw("missing", "Field required", ".json_schema.name", holder),)
    schema = holder.get("schema")
    if schema is not None:
        flaws += tuple(replace(flaw, where=".json_schema.schema", given=schema) for flaw in _mapping(schema))
    return flaws


def _literal(value: dict[str, Any], expected: str) -> Flaws:
    if "type" not in value:
        return (Flaw("missing", "Field required", ".type"),)
    if f"'{value['type']}'" in expected:
        return _FINE
    context = {"expected": expected}
    return (Flaw("literal_error", f"Input should be {expected}", ".type", value["type"], context),)


def _prompt(value: Any) -> Flaws:
    """Token ids, lists of them, a text, or texts."""
    if isinstance(value, str | list):
        return _FINE
    return (*_list(value), *_list(value), *_string(value), *_list(value))


def _any(_: Any) -> Flaws:
    return _FINE


_SAMPLING: dict[str, Check] = {
    "top_k": _whole,
    "min_p": _number,
    "repetition_penalty": _number,
    "stop_token_ids": _list_of(_whole),
    "include_stop_str_in_output": _flag,
    "ignore_eos": _flag,
    "min_tokens": _whole,
    "prompt_logprobs": _whole,
}
CHAT: dict[str, Check] = {
    "messages": _list,  # what is in it has words of its own
    "model": _string,
    "frequency_penalty": _number,
    "logit_bias": _mapping,
    "logprobs": _flag,
    "top_logprobs": _whole,
    "max_tokens": _whole,
    "max_completion_tokens": _whole,
    "n": _whole,
    "presence_penalty": _number,
    "response_format": _response_format,
    "seed": _whole,
    "stop": _stop,
    "stream": _flag,
    "stream_options": _model,
    "temperature": _number,
    "top_p": _number,
    "tools": _list_of(_tool),
    "tool_choice": _any,
    "user": _string,
    **_SAMPLING,
}
COMPLETION: dict[str, Check] = {
    "model": _string,
    "prompt": _prompt,
    "echo": _flag,
    "frequency_penalty": _number,
    "logit_bias": _mapping,
    "logprobs": _whole,
    "max_tokens": _whole,
    "n": _whole,
    "presence_penalty": _number,
    "seed": _whole,
    "stop": _stop,
    "stream": _flag,
    "stream_options": _model,
    "suffix": _string,
    "temperature": _number,
    "top_p": _number,
    "user": _string,
    **_SAMPLING,
    "response_format": _response_format,
}
TOKENIZE: dict[str, Check] = {"model": _string, "prompt": _string, "messages": _list}
DETOKENIZE: dict[str, Check] = {"model": _string, "tokens": _list_of(_whole)}


def check_fields(request: Any, checks: dict[str, Check], *, required: tuple[str, ...]) -> dict[str, Any]:
    """*request* with its known fields of the right type; unknown fields are let through, as vLLM does."""
    if not isinstance(request, dict):
        raise _no_object(request)
    wrong: dict[str, Flaws] = {}
    for name, value in request.items():
        check = checks.get(name)
        if check is None or (value is None and name not in required):
            continue
        flaws = check(value)
        if flaws:
            wrong[name] = flaws
    for name in required:
        if name not in request:
            wrong[name] = (Flaw("missing", "Field required", given=request),)
    if wrong:
        raise _refusal_of(request, {name: wrong[name] for name in checks if name in wrong})
    return request


def _no_object(request: Any) -> Refusal:
    if request is None:
        return validation([Problem("missing", "body", "Field required", None)])
    return validation([Problem(flaw.type, "body", flaw.message, request) for flaw in _model(request)])


def _refusal_of(request: dict[str, Any], wrong: dict[str, Flaws]) -> Refusal:
    return validation(
        [
            Problem(
                flaw.type,
                f"body.{name}{flaw.where}",
                flaw.message,
                request[name] if flaw.given is _NO_VALUE else flaw.given,
                flaw.context,
            )
            for name, flaws in wrong.items()
            for flaw in flaws
        ]
    )
