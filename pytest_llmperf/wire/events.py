"""What a dialect reads out of the bytes of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from pytest_llmperf.core.exchange import Failure, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A fragment of a tool call, or a whole one."""

    index: int | None = None  #: which call it belongs to; None when the server does not say
    id: str = ""
    name: str = ""
    arguments: str = ""  #: a fragment of JSON text


class Delta(NamedTuple):  # made for every chunk, in a third of the time of a frozen dataclass
    """A piece of the answer. It can be empty: a chunk is not a token."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    choice: int = 0

    @property
    def answers(self) -> bool:
        """Whether it brings output other than reasoning."""
        return bool(self.content or self.tool_calls)

    @property
    def carries(self) -> bool:
        """Whether it brings anything. A delta with only a role does not: it is no token."""
        return bool(self.content or self.tool_calls or self.reasoning)


class Texts(NamedTuple):
    """Many deltas of the first choice at once: each brings one text that is not empty, and no more."""

    texts: Sequence[str]
    counts: Sequence[int]  #: how many of them each of the pieces brought that they came in
    reasoning: bool = False  #: what all of them are; else content

    @property
    def deltas(self) -> list[Delta]:
        """The same one by one."""
        return [Delta("", text) if self.reasoning else Delta(text) for text in self.texts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """One choice is complete."""

    reason: str
    choice: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The server's token counts up to here; the last one holds, they are never summed."""

    tokens: Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTimes:
    """Where the server says that the time went, in seconds."""

    load_s: float | None = None  #: loading the model; more than a moment means a cold start
    prompt_s: float | None = None
    generate_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The answer is a failure, however much text came before."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The server announced the end."""


Event: TypeAlias = Delta | Finish | Usage | ServerTimes | Failed | Done
