"""Counting the tokens that a server did not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pytest_llmperf.core.estimate import estimated_tokens
from pytest_llmperf.core.exchange import Tokens, TokenSource
from pytest_llmperf.wire.answer import Answer
from pytest_llmperf.wire.dialect import Call, Message


class Count(Protocol):
    """A number of tokens that knows who counted it."""

    @property
    def source(self) -> TokenSource:
        """Who counted."""
        ...

    def __int__(self) -> int:
        """The number."""
        ...


class Counter(Protocol):
    """Counts the tokens of a text or of messages, as TokenCounter does."""

    def __call__(self, text: str | Sequence[Message]) -> Count:
        """The count, and its source."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """A count by the rule of thumb."""

    tokens: int
    source: TokenSource = TokenSource.ESTIMATE

    def __int__(self) -> int:
        return self.tokens


def estimate(text: str | Sequence[Message]) -> Count:
    """The counter of last resort."""
    if not isinstance(text, str):
        text = " ".join(str(message.get("content") or "") for message in text)
    return Estimate(estimated_tokens(text))


def tokens_of(call: Call, answer: Answer, count: Counter) -> Tokens:
    """The server's counts; *count* adds what it did not tell, and then all is marked by its source."""
    told = answer.tokens or Tokens()
    if told.input is not None and told.output is not None:
        return told
    said = " ".join([answer.text, answer.reasoning, *(made.arguments for made in answer.tool_calls)]).strip()
    given = None if told.input is not None else count(call.prompt)
    output = None if told.output is not None else count(said)
    sources = {number.source for number in (given, output) if number is not None}
    return replace(
        told,
        input=told.input if given is None else int(given),
        output=told.output if output is None else int(output),
        source=max(sources, key=list(TokenSource).index),  # the least certain one
    )
