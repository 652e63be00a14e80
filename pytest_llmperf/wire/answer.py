"""What the events of an answer add up to."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmperf.core.exchange import Failure, Tokens
from pytest_llmperf.wire.events import (
    Delta,
    Event,
    Failed,
    Finish,
    ServerTimes,
    Texts,
    ToolCallDelta,
    Usage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model asks for."""

    id: str
    name: str
    arguments: str  #: JSON text, as the model wrote it: it need not be valid


class Answer:
    """Gathers the events of one answer. Text and tool calls are those of its first choice."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_OpenCall] = []
        self.finish_reason: str | None = None
        self.tokens: Tokens | None = None  #: the last that the server told
        self.times: ServerTimes | None = None
        self.failure: Failure | None = None  #: the first
        self.characters = 0  #: of all choices: content, reasoning and the arguments of tool calls

    @property
    def text(self) -> str:
        """The content."""
        return "".join(self._content)

    @property
    def reasoning(self) -> str:
        """What a reasoning parser kept apart from the content."""
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in the order in which they began."""
        return tuple(call.closed() for call in self._calls)

    def add(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, Delta):  # nearly always: before the slower match
            self._add_delta(event)
            return
        match event:
            case Finish(reason=reason, choice=choice):
                self.finish_reason = reason if choice == 0 else self.finish_reason
            case Usage(tokens=tokens):
                self.tokens = tokens
            case ServerTimes():
                self.times = event
            case Failed(failure=failure):
                self.failure = self.failure or failure
            case _:
                pass

    def add_texts(self, texts: Texts) -> None:
        """Take many deltas in."""
        self.characters += sum(map(len, texts.texts))
        (self._reasoning if texts.reasoning else self._content).extend(texts.texts)

    def _add_delta(self, delta: Delta) -> None:
        content, reasoning, tool_calls, choice = delta
        self.characters += len(content) + len(reasoning)
        for fragment in tool_calls:
            self.characters += len(fragment.arguments)
        if choice == 0:
            if content:
                self._content.append(content)
            if reasoning:
                self._reasoning.append(reasoning)
            for fragment in tool_calls:
                self._call_of(fragment).add(fragment)

    def _call_of(self, fragment: ToolCallDelta) -> _OpenCall:
        for call in reversed(self._calls):
            if call.continued_by(fragment):
                return call
        self._calls.append(_OpenCall(fragment.index))
        return self._calls[-1]


class _OpenCall:
    def __init__(self, index: int | None) -> None:
        self._index = index
        self._id = ""
        self._name = ""
        self._arguments: list[str] = []

    def continued_by(self, fragment: ToolCallDelta) -> bool:
        # some servers give every call the index 0, or none: a new id with a name is a new call
        begins = bool(fragment.name) and (fragment.id != self._id or fragment.index is None)
        return fragment.index == self._index and not begins

    def add(self, fragment: ToolCallDelta) -> None:
        self._id = self._id or fragment.id
        self._name = self._name or fragment.name
        self._arguments.append(fragment.arguments)

    def closed(self) -> ToolCall:
        return ToolCall(id=self._id, name=self._name, arguments="".join(self._arguments))
