"""What a dialect has to know, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from pytest_llmperf.wire.events import Event
from pytest_llmperf.wire.frames import Frames
from pytest_llmperf.wire.json_value import JsonObject

Message: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked of a model."""

    model: str
    prompt: str | Sequence[Message]  #: messages: a chat; a text: its completion
    schema: JsonObject | None = None  #: the JSON Schema that the answer must match
    tools: Sequence[JsonObject] | None = None
    stream: bool = True
    params: Mapping[str, object] = field(default_factory=dict)  #: None: leave it out, also a default of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP POST with a JSON body."""

    url: str
    body: bytes


class Dialect(Protocol):
    """One way to speak to a model server. Sans-IO: it never sees a socket."""

    def request(self, base_url: str, call: Call) -> Request:
        """What to send. Raises TypeError or ValueError for parameters that are not JSON."""
        ...

    def frames(self) -> Frames:
        """How its streamed answers are told apart."""
        ...

    def read_chunk(self, payload: JsonObject) -> list[Event]:
        """What one object of a streamed answer says. Raises MalformedAnswerError.

        Of a piece of text it matters only whether it is empty, which `wire.template` relies on.
        """
        ...

    def read_answer(self, payload: JsonObject) -> list[Event]:
        """What a plain answer says. Raises MalformedAnswerError."""
        ...


class MalformedAnswerError(ValueError):
    """The server sent something that the dialect does not allow. The text says what."""
