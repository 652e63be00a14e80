"""From a question to the tokens of an answer: what is said, how it ends, what it counts."""

# ruff: noqa: S311 - replies and delays, not secrets

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from zlib import crc32

from pytest_llmperf.mock.conversation import Conversation
from pytest_llmperf.mock.instance import make_instance
from pytest_llmperf.mock.pieces import split_pieces
from pytest_llmperf.mock.rules import Answer

_DEFAULT_WORDS = [
    "the",
    "of",
    "a",
    "to",
    "and",
    "in",
    "that",
    "it",
    "is",
    "for",
    "on",
    "with",
    "as",
    "this",
    "are",
    "by",
    "be",
    "at",
    "from",
    "or",
    "an",
    "which",
    "one",
    "all",
    "can",
    "more",
    "has",
    "when",
    "who",
    "will",
    "use",
    "time",
    "out",
    "about",
    "other",
    "into",
    "some",
    "then",
    "these",
    "two",
    "may",
    "her",
    "like",
    "now",
    "made",
    "over",
    "our",
    "most",
    "did",
    "after",
    "being",
    "only",
    "same",
    "new",
    "work",
    "used",
    "well",
    "way",
    "any",
    "such",
    "good",
    "give",
    "our",
    "day",
    "even",
    "back",
    "see",
    "under",
    "also",
    "way",
    "its",
]
_DEFAULT_TOKENS = 19  # 20 with the end-of-sequence token


@dataclass(slots=True, kw_only=True)
class Ask:
    """One request in terms that every dialect shares."""

    said: Conversation
    prompt_tokens: int
    max_tokens: int
    n: int = 1
    stop: tuple[str, ...] = ()
    keep_stop: bool = False  #: leave the stop sequence in the text
    json_object: bool = False
    schema: Any = None  #: JSON Schema that the answer must be an instance of; None: none
    options: tuple[str, ...] = ()  #: the answer is one of these (structured_outputs.choice)
    tool_choice: str = "none"  #: none, auto, required, or a function's name
    tools: tuple[dict[str, Any], ...] = ()  #: the function objects: name, parameters
    top_logprobs: int | None = None  #: None: no log probabilities
    echo: str = ""  #: text to repeat before the answer
    plain: bool = False  #: nothing decides the form of the answer


@dataclass(slots=True, kw_only=True)
class Choice:
    """One answer as steps of the engine: a token each, the last one may be the end of sequence."""

    index: int
    pieces: tuple[str, ...]  #: one per step that adds text; "" where a stop sequence took it away
    finish: str  #: stop, length or tool_calls
    stop_reason: str | None = None  #: the stop sequence that was met
    ends_by_token: bool = True  #: the end-of-sequence token is a step of its own
    reasoning: tuple[str, ...] = ()  #: pieces before the answer
    tool_calls: tuple[tuple[str, str], ...] = ()  #: name and arguments; *pieces* are those of the arguments

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """Steps of the engine, which is what usage counts."""
        return len(self.reasoning) + len(self.pieces) + self.ends_by_token


@dataclass(slots=True, kw_only=True)
class Generation:
    """Everything that a dialect needs to write an answer down."""

    ask: Ask
    choices: list[Choice]
    id: str
    created: int  #: seconds since 1970
    cached_tokens: int = 0
    steps: int = field(init=False)  #: of the longest choice
    completion_tokens: int = field(init=False)
    reason: str = field(init=False)  #: why it ended, as metrics count it: stop or length

    def __post_init__(self) -> None:
        self.reason = "length" if self.choices[0].finish == "length" else "stop"
        counts = [choice.tokens for choice in self.choices]
        self.steps = max(1, *counts) if len(counts) > 1 else max(1, counts[0])
        self.completion_tokens = sum(counts)


def generate(ask: Ask, answer: Answer | None) -> list[Choice]:
    """The answers to *ask*: what a rule said, else made up from the prompt."""
    choices = [_choice(ask, answer or make_up(ask, index), index) for index in range(ask.n)]
    if ask.echo:
        for choice in choices:
            choice.pieces = (ask.echo + "".join(choice.pieces[:1]), *choice.pieces[1:])
    return choices


def make_up(ask: Ask, index: int) -> Answer:
    """An answer that depends on the prompt alone: same prompt, same answer."""
    said = ask.said
    seed = crc32(f"{said.system}\0{said.history}\0{said.user}\0{index}".encode("utf-8", "replace"))
    if ask.tool_choice not in ("none", "auto"):
        wanted = [tool for tool in ask.tools if ask.tool_choice in ("required", tool["name"])]
        arguments = make_instance(wanted[0].get("parameters") or {"type": "object"}, Random(seed))
        return Answer(tool_calls=((wanted[0]["name"], _json(arguments)),))
    if ask.options:
        return Answer(text=ask.options[seed % len(ask.options)])
    if ask.schema is not None:
        return Answer(text=_json(make_instance(ask.schema, Random(seed))))
    if ask.json_object:
        return Answer(text=_json({"answer": _words(seed)}))
    return Answer(text=_words(seed))


def _words(seed: int) -> str:
    """As many words as make `_DEFAULT_TOKENS` tokens, counted as `count_tokens` does."""
    draw = Random(seed).getrandbits
    known = len(_DEFAULT_WORDS)
    bits = known.bit_length()
    words: list[str] = []
    characters = -1  # no space before the first
    while len(words) < _DEFAULT_TOKENS and characters <= 4 * (_DEFAULT_TOKENS - 1):
        at = draw(bits)
        if at < known:  # as Random.choice does it
            words.append(_DEFAULT_WORDS[at])
            characters += 1 + len(words[-1])
    return " ".join(words).capitalize()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _choice(ask: Ask, answer: Answer, index: int) -> Choice:
    reasoning = split_pieces(answer.reasoning) if answer.reasoning else ()
    if answer.tool_calls:
        pieces = tuple(piece for _, arguments in answer.tool_calls for piece in split_pieces(arguments))
        named = ask.tool_choice not in ("none", "auto", "required")
        return Choice(
            index=index,
            pieces=pieces,
            finish="stop" if named else "tool_calls",
            reasoning=reasoning,
            tool_calls=answer.tool_calls,
        )
    pieces = split_pieces(answer.text) if answer.text else ()
    room = max(0, ask.max_tokens - len(reasoning))
    reasoning = reasoning[: ask.max_tokens]
    stopped = _stop_at(pieces[:room], ask.stop, keep=ask.keep_stop) if ask.stop else None
    if stopped is not None:
        kept, reason = stopped
        return Choice(
            index=index,
            pieces=kept,
            finish="stop",
            stop_reason=reason,
            ends_by_token=False,
            reasoning=reasoning,
        )
    if len(pieces) >= room:
        return Choice(
            index=index, pieces=pieces[:room], finish="length", ends_by_token=False, reasoning=reasoning
        )
    return Choice(index=index, pieces=pieces, finish="stop", reasoning=reasoning)


def _stop_at(
    pieces: Sequence[str], stops: tuple[str, ...], *, keep: bool
) -> tuple[tuple[str, ...], str] | None:
    """*pieces* up to the first stop sequence, one entry per token generated, and which it was."""
    text = "".join(pieces)
    found = [(text.find(stop), -len(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return None
    start, length, stop = min(found)
    limit = start - length if keep else start
    kept: list[str] = []
    at = 0
    for piece in pieces:
        if at >= start - length:  # the stop sequence is complete
            break
        kept.append(piece[: max(0, limit - at)])
        at += len(piece)
    return tuple(kept), stop
