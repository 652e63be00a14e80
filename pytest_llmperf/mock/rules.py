"""Reply rules: when this is said, answer that."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock._fields import Fields
from pytest_llmperf.mock.conversation import Conversation
from pytest_llmperf.mock.folding import Folded, FoldedPattern

_CONDITIONS = ("equals", "contains", "contains_all", "regex", "system", "history", "turn", "model", "role")
_ANSWERS = ("text", "json", "template", "tool_calls", "sequence", "callback")  # the last one is our own
_KEYS = (*_CONDITIONS, *_ANSWERS, "reasoning", "times", "cycle")
_ANSWER_KEYS = ("text", "json", "template", "tool_calls", "reasoning")

_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model is to say."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()  #: name and arguments as JSON text
    template: bool = False  #: ``{user}``, ``{turn}``, ``{model}`` … in the text are filled in
    callback: int | None = None  #: number of a function in the process that holds the server


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Conditions that all must hold, and the answers that are given in turn."""

    equals: Folded | None = None
    contains: tuple[Folded, ...] = ()  #: any of them
    contains_all: tuple[Folded, ...] = ()
    regex: FoldedPattern | None = None
    system: tuple[Folded, ...] = ()  #: any of them, in the system prompt
    history: tuple[Folded, ...] = ()  #: any of them, in an earlier user message
    turn: int | None = None
    model: str | None = None
    role: str | None = None
    answers: tuple[Answer, ...]
    times: int | None = None  #: how often the rule answers; None: always
    cycle: bool = False  #: start a sequence again after its end; else its last answer stays

    def matches(self, said: Conversation) -> bool:
        """Whether every condition holds for *said*."""
        if self.model is not None and self.model != said.model:
            return False
        if self.role is not None and self.role != said.role:
            return False
        if self.turn is not None and self.turn != said.turn:
            return False
        user = said.folded
        return (
            (self.equals is None or user.equals(self.equals))
            and (not self.contains or any(map(user.contains, self.contains)))
            and (not self.contains_all or all(map(user.contains, self.contains_all)))
            and (self.regex is None or self.regex.search(user))
            and (not self.system or _any_in(self.system, (said.system,)))
            and (not self.history or _any_in(self.history, said.history))
        )

    @property
    def steady(self) -> bool:
        """Whether the same question always gets the same answer."""
        only = self.answers[0]
        return self.times is None and len(self.answers) == 1 and not only.template and only.callback is None

    def answer(self, number: int) -> Answer:
        """The answer of the rule's *number*-th match, from 0."""
        if len(self.answers) == 1:
            return self.answers[0]
        if self.cycle:
            return self.answers[number % len(self.answers)]
        return self.answers[min(number, len(self.answers) - 1)]


@dataclass(slots=True)
class Rulebook:
    """The rules in order, with how often each has answered."""

    rules: list[Rule]
    used: list[int] = field(init=False)
    steady: bool = field(init=False)  #: the same question always gets the same answer

    def __post_init__(self) -> None:
        self.used = [0] * len(self.rules)
        self.steady = all(rule.steady for rule in self.rules)

    def first(self, said: Conversation) -> Answer | None:
        """The answer of the first rule that matches and is not used up; None: no rule answers."""
        for index, rule in enumerate(self.rules):
            if (rule.times is None or self.used[index] < rule.times) and rule.matches(said):
                self.used[index] += 1
                return rule.answer(self.used[index] - 1)
        return None

    def add(self, rule: Rule) -> None:
        """Put *rule* before all others, so that a test can override the file."""
        self.rules.insert(0, rule)
        self.used.insert(0, 0)
        self.steady = self.steady and rule.steady


def parse_rule(section: Any, *, where: str) -> Rule:
    """One entry of ``replies:``; LlmPerfUsageError with the path when it makes no sense."""
    fields = Fields(section, where=where, allowed=_KEYS)
    given = [key for key in _ANSWERS if key in fields.values]
    if len(given) != 1:
        raise LlmPerfUsageError(
            f"{where}: expected one of {', '.join(_ANSWERS[:-1])}, found {', '.join(given) or 'none'}"
        )
    if given == ["sequence"]:
        answers = tuple(parse_answer(item, where=path) for item, path in fields.items("sequence"))
        if not answers:
            raise LlmPerfUsageError(f"{fields.path('sequence')}: expected at least one answer")
    elif given == ["callback"]:
        answers = (Answer(callback=fields.whole("callback", 0)),)
    else:
        own = {key: fields.values[key] for key in _ANSWER_KEYS if key in fields.values}
        answers = (parse_answer(own, where=where),)
    equals = fields.text("equals")
    return Rule(
        equals=None if equals is None else Folded(equals),
        contains=tuple(map(Folded, fields.texts("contains"))),
        contains_all=tuple(map(Folded, fields.texts("contains_all"))),
        regex=_pattern(fields),
        system=tuple(map(Folded, fields.texts("system"))),
        history=tuple(map(Folded, fields.texts("history"))),
        turn=fields.whole("turn", 1, low=1) if "turn" in fields else None,
        model=fields.text("model"),
        role=fields.text("role"),
        answers=answers,
        times=fields.whole("times", 1, low=1) if "times" in fields else None,
        cycle=fields.flag("cycle"),
    )


def fill_in(answer: Answer, said: Conversation, number: int) -> Answer:
    """*answer* with its template filled from the conversation; unknown names stay as they are."""
    values = {
        "user": said.user,
        "system": said.system,
        "model": said.model,
        "turn": str(said.turn),
        "first": said.history[0] if said.history else said.user,
        "previous": said.history[-1] if said.history else "",
        "number": str(number),
    }
    return Answer(
        text=_NAME.sub(lambda name: values.get(name[1], name[0]), answer.text), reasoning=answer.reasoning
    )


def parse_answer(section: Any, *, where: str) -> Answer:
    """One answer: a text, or a mapping with text, json or tool_calls."""
    if isinstance(section, str):
        return Answer(text=section)
    fields = Fields(section, where=where, allowed=_ANSWER_KEYS)
    reasoning = fields.text("reasoning") or ""
    if "json" in fields.values:
        return Answer(text=_json_text(fields.values["json"], where=fields.path("json")), reasoning=reasoning)
    if "template" in fields.values:
        return Answer(text=fields.text("template") or "", template=True, reasoning=reasoning)
    calls = tuple(_tool_call(item, where=path) for item, path in fields.items("tool_calls"))
    return Answer(text=fields.text("text") or "", reasoning=reasoning, tool_calls=calls)


def _tool_call(section: Any, *, where: str) -> tuple[str, str]:
    fields = Fields(section, where=where, allowed=("name", "arguments"))
    name = fields.text("name")
    if not name:
        raise LlmPerfUsageError(f"{fields.path('name')}: expected the function's name")
    arguments = fields.values.get("arguments", {})
    if isinstance(arguments, str):
        return name, arguments
    return name, _json_text(arguments, where=fields.path("arguments"))


def _json_text(value: Any, *, where: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LlmPerfUsageError(f"{where}: not a JSON value ({error})") from None


def _pattern(fields: Fields) -> FoldedPattern | None:
    pattern = fields.text("regex")
    if pattern is None:
        return None
    try:
        return FoldedPattern(pattern)
    except re.error as error:
        raise LlmPerfUsageError(f"{fields.path('regex')}: {error}") from None


def _any_in(needles: tuple[Folded, ...], texts: tuple[str, ...]) -> bool:
    return any(Folded(text).contains(needle) for text in texts for needle in needles)
