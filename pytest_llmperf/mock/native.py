"""A server's own way to generate text, beside OpenAI's: what such interfaces share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.mock.conversation import Conversation, after_marker
from pytest_llmperf.mock.dialect import Frames
from pytest_llmperf.mock.generation import Ask, Choice, Generation
from pytest_llmperf.mock.openai_ask import Limits, room
from pytest_llmperf.mock.pieces import count_tokens
from pytest_llmperf.mock.plan import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """One path on which a prompt is continued."""

    ask: Callable[[Any, Limits, str | None], Ask]  #: (body, limits, role for the rules)
    streams: Callable[[Any], bool]
    whole: Callable[[Any, Generation, Timing], bytes]  #: (body, answer, times)
    events: Callable[[Any, Generation], Frames]
    end: Callable[[Any, Generation, Timing], bytes] | None = None  #: the events that tell times
    done: bytes = b""  #: what follows the last event


def prompt_ask(
    prompt: str, limits: Limits, role: str | None, *, max_tokens: Any, stop: tuple[str, ...], **more: Any
) -> Ask:
    """What is asked by a prompt that is one text."""
    said = Conversation(
        model=limits.models[0] if limits.models else limits.default_model,
        user=after_marker(prompt, limits.user_marker),
        system="",
        history=(),
        role=role,
    )
    tokens = count_tokens(prompt)
    most = room(max_tokens, tokens, limits, prompt.__len__)
    return Ask(said=said, prompt_tokens=tokens, max_tokens=most, stop=stop, **more)


def texts(value: Any) -> tuple[str, ...]:
    """The texts of a field that holds one or a list of them; what is none is passed over."""
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def whole_number(value: Any, default: int | None) -> int | None:
    """A field that holds a number of tokens; *default* where it does not."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def spoken(choice: Choice) -> Iterator[tuple[int, str]]:
    """(step, text) of every token that has one."""
    return ((step, piece) for step, piece in enumerate(choice.pieces) if piece)
