"""Messages that are none, in pydantic's words: it tries seven kinds and tells why none of them fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.mock.checks import Problem, Refusal

_STRING = ("string_type", "Input should be a valid string")
_ITERABLE = ("iterable_type", "Input should be iterable")
_LIST = ("list_type", "Input should be a valid list")
_MISSING = ("missing", "Field required")
_DICT = ("dict_type", "Input should be a valid dictionary")
_MORE = "For further information visit https://errors.pydantic.dev/2.14/v"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of message."""

    name: str
    role: str
    content: tuple[tuple[str, str], ...] = (_STRING, _ITERABLE)  #: what a content that is none is told
    may_be_null: bool = False
    needs_content: bool = True
    role_first: bool = False  #: it complains of the role before the content
    before: tuple[str, ...] = ()  #: fields it needs, complained of before the role
    after: tuple[str, ...] = ()


_KINDS = (
    _Kind("ChatCompletionDeveloperMessageParam", "developer"),
    _Kind("ChatCompletionSystemMessageParam", "system"),
    _Kind("ChatCompletionUserMessageParam", "user"),
    _Kind(
        "ChatCompletionAssistantMessageParam",
        "assistant",
        may_be_null=True,
        needs_content=False,
        role_first=True,
    ),
    _Kind("ChatCompletionToolMessageParam", "tool", after=("tool_call_id",)),
    _Kind(
        "ChatCompletionFunctionMessageParam",
        "function",
        content=(_STRING,),
        may_be_null=True,
        before=("name",),
    ),
)
_ANY_ROLE = "CustomChatCompletionMessageParam"  # takes every role


def message_problems(messages: list[Any]) -> list[Problem]:
    """Everything that is wrong with the messages; empty: nothing."""
    return [
        problem
        for at, message in enumerate(messages)
        if not _is_one(message)
        for problem in _problems(message, at)
    ]


def _is_one(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content", "")
    if isinstance(content, str | list):
        return True
    # an assistant that calls tools says nothing; a dict is an iterable
    return message["role"] in ("assistant", "function") if content is None else isinstance(content, dict)


def _problems(message: Any, at: int) -> Iterator[Problem]:
    where = f"body.messages.{at}"
    if not isinstance(message, dict):
        for name in (*(kind.name for kind in _KINDS), _ANY_ROLE):
            yield Problem(_DICT[0], f"{where}.{name}", _DICT[1], message)
        text = "Input should be a valid dictionary or object to extract fields from"
        yield Problem("model_attributes_type", f"{where}.Message", text, message)
        return
    for kind in _KINDS:
        yield from _kind_problems(kind, message, f"{where}.{kind.name}")
    yield from _any_role_problems(message, f"{where}.{_ANY_ROLE}")
    yield Problem(*_place(_MISSING, f"{where}.Message.author"), message)
    if "content" in message and not isinstance(message["content"], list):
        yield Problem(*_place(_LIST, f"{where}.Message.content"), message["content"])


def _kind_problems(kind: _Kind, message: dict[str, Any], where: str) -> Iterator[Problem]:
    if kind.role_first:
        yield from _role_problems(kind, message, where)
    yield from _content_problems(kind, message, where)
    yield from _missing(kind.before, message, where)
    if not kind.role_first:
        yield from _role_problems(kind, message, where)
    yield from _missing(kind.after, message, where)


def _missing(names: tuple[str, ...], message: dict[str, Any], where: str) -> Iterator[Problem]:
    for name in names:
        if name not in message:
            yield Problem(*_place(_MISSING, f"{where}.{name}"), message)


def _role_problems(kind: _Kind, message: dict[str, Any], where: str) -> Iterator[Problem]:
    if "role" not in message:
        yield Problem(*_place(_MISSING, f"{where}.role"), message)
    elif message["role"] != kind.role:
        expected = f"'{kind.role}'"
        text = f"Input should be {expected}"
        yield Problem("literal_error", f"{where}.role", text, message["role"], {"expected": expected})


def _content_problems(kind: _Kind, message: dict[str, Any], where: str) -> Iterator[Problem]:
    content = message.get("content")
    if "content" not in message:
        if kind.needs_content:
            yield Problem(*_place(_MISSING, f"{where}.content"), message)
    elif not (isinstance(content, str | list) or (content is None and kind.may_be_null)):
        for fault in kind.content:
            yield Problem(*_place(fault, f"{where}.content"), content)


def _any_role_problems(message: dict[str, Any], where: str) -> Iterator[Problem]:
    content = message.get("content", "")
    if "role" not in message:
        yield Problem(*_place(_MISSING, f"{where}.role"), message)
    elif not isinstance(message["role"], str):
        yield Problem(*_place(_STRING, f"{where}.role"), message["role"])
    if not isinstance(content, str | list):
        yield Problem(*_place(_STRING, f"{where}.content"), content)
        yield Problem(*_place(_LIST, f"{where}.content"), content)


def _place(fault: tuple[str, str], where: str) -> tuple[str, str, str]:
    kind, message = fault
    return kind, where, message


_PARTS = (
    ("ChatCompletionContentPartTextParam", "text", "text"),
    ("ChatCompletionContentPartImageParam", "image_url", "image_url"),
    ("ChatCompletionContentPartInputAudioParam", "input_audio", "input_audio"),
    ("File", "file", "file"),
)
_KNOWN_PARTS = frozenset(
    [
        "text",
        "image_url",
        "input_audio",
        "file",
        "audio_url",
        "video_url",
        "refusal",
        "thinking",
        "image_embeds",
        "audio_embeds",
        "video_embeds",
        "prompt_embeds",
        "image_pil",
        "tool_reference",
    ]
)


def check_parts(messages: list[Any]) -> None:
    """Raise Refusal for a part of a content that vLLM does not know."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            for at, part in enumerate(content):
                if not _is_part(part):
                    raise _bad_part(part, at)


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    kind = part.get("type")
    if kind is None:
        return any(name in part for name in ("image_url", "audio_url", "video_url"))
    return kind in _KNOWN_PARTS and (kind != "text" or isinstance(part.get("text"), str))


def _bad_part(part: Any, at: int) -> Refusal:
    faults = list(_part_faults(part))
    lines = [f"{len(faults)} validation errors for ValidatorIterator"]
    for where, kind, text, given in faults:
        shown = f"[type={kind}, input_value={_cut(repr(given))}, input_type={type(given).__name__}]"
        lines += [f"{at}.{where}", f"  {text} {shown}", f"    {_MORE}/{kind}"]
    return Refusal(status=400, message="\n".join(lines))


def _part_faults(part: Any) -> Iterator[tuple[str, str, str, Any]]:
    for model, field, kind in _PARTS:
        if not isinstance(part, dict):
            yield model, *_DICT, part
            continue
        if field not in part:
            yield f"{model}.{field}", *_MISSING, part
        elif field == "text" and not isinstance(part["text"], str):
            yield f"{model}.text", *_STRING, part["text"]
        if "type" not in part:
            yield f"{model}.type", *_MISSING, part
        elif part["type"] != kind:
            yield f"{model}.type", "literal_error", f"Input should be '{kind}'", part["type"]


def _cut(text: str) -> str:
    """Pydantic shows the ends of what is long."""
    return text if len(text) <= 50 else f"{text[:25]}...{text[-24:]}"
