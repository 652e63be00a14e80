"""What a kind of server demands of a request beyond the types of its fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.mock.checks import Problem, validation
from pytest_llmperf.mock.request_fields import CHAT, COMPLETION, check_fields


def nothing(*_: Any) -> None:
    """Demand nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """Checks in the order in which they are made; each raises Refusal."""

    chat: Callable[[Any], dict[str, Any]]  #: from the body of a chat request to its usable fields
    completion: Callable[[Any], dict[str, Any]]  #: the same for a text completion
    messages: Callable[[list[Any]], None]
    values: Callable[[dict[str, Any], Any], None]  #: fields of the right types, and alternatives to show
    length: Callable[[int, int], None]  #: (characters, context window) of a prompt that is too long
    inputs: Callable[[list[str]], None] = nothing  #: texts to be embedded
    only_json: bool = False  #: a body must call itself application/json


def chat_fields(request: Any) -> dict[str, Any]:
    """A chat request whose fields have the types of OpenAI's."""
    return check_fields(request, CHAT, required=("messages",))


def completion_fields(request: Any) -> dict[str, Any]:
    """A text completion whose fields have the types of OpenAI's."""
    return check_fields(request, COMPLETION, required=("prompt",))


def _are_messages(messages: list[Any]) -> None:
    problems = [
        Problem("dict_type", f"body.messages.{at}", "Input should be a valid dictionary", message)
        for at, message in enumerate(messages)
        if not isinstance(message, dict)
    ]
    problems += [
        Problem("missing", f"body.messages.{at}.role", "Field required", message)
        for at, message in enumerate(messages)
        if isinstance(message, dict) and not isinstance(message.get("role"), str)
    ]
    if problems:
        raise validation(problems)


USUAL = Demands(
    chat=chat_fields,
    completion=completion_fields,
    messages=_are_messages,
    values=nothing,
    length=nothing,
)
