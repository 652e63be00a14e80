"""A text that a regular expression accepts."""

from __future__ import annotations

import re
import string
from importlib import import_module
from random import Random
from typing import Any

from pytest_llmperf.mock.checks import Refusal

_REPEATS = 3  # how often an unbounded repeat goes on at most, past its minimum
_LONGEST = 10_000
_LETTERS = string.ascii_lowercase
_CLASSES = {"CATEGORY_DIGIT": "0123456789", "CATEGORY_WORD": _LETTERS + "0123456789_", "CATEGORY_SPACE": " "}


def make_match(pattern: str, rng: Random) -> str:
    """A text in which ``re.search(pattern, text)`` finds a match.

    Raises Refusal for what is no pattern or looks ahead or back.
    """
    try:
        parsed = import_module("re._parser").parse(pattern)
        made = _sequence(parsed, rng, {})
        if re.search(pattern, made):
            return made
    except (re.error, ValueError, OverflowError, RecursionError):
        pass
    raise Refusal(status=400, message=f"Grammar error: unsupported pattern: {pattern}", shape="schema")


def _sequence(parsed: Any, rng: Random, groups: dict[int, str]) -> str:
    return "".join(_one(str(operation), argument, rng, groups) for operation, argument in parsed)


def _one(operation: str, argument: Any, rng: Random, groups: dict[int, str]) -> str:  # noqa: C901, PLR0911, PLR0912
    if operation == "LITERAL":
        return chr(argument)
    if operation == "NOT_LITERAL":
        return "a" if argument != ord("a") else "b"
    if operation == "ANY":
        return rng.choice(_LETTERS)
    if operation == "IN":
        return _member(argument, rng)
    if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, what = argument
        times = rng.randint(low, min(int(high), low + _REPEATS))
        made = ""
        for _ in range(times):
            made += _sequence(what, rng, groups)
            if len(made) > _LONGEST:
                raise ValueError("too long")
        return made
    if operation == "SUBPATTERN":
        made = _sequence(argument[3], rng, groups)
        if argument[0] is not None:
            groups[argument[0]] = made
        return made
    if operation == "ATOMIC_GROUP":
        return _sequence(argument, rng, groups)
    if operation == "BRANCH":
        return _sequence(rng.choice(argument[1]), rng, groups)
    if operation == "GROUPREF":
        return groups.get(argument, "")
    if operation == "AT":
        return ""
    raise ValueError(operation)


def _member(items: Any, rng: Random) -> str:
    allowed: list[str] = []
    negated = False
    for operation, argument in items:
        name = str(operation)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            allowed.append(chr(argument))
        elif name == "RANGE":
            allowed += map(chr, range(argument[0], min(argument[1], argument[0] + 200) + 1))
        elif str(argument) in _CLASSES:
            allowed += _CLASSES[str(argument)]
        else:  # the complement of a class
            taken = set(_CLASSES.get(str(argument).replace("_NOT_", "_"), ""))
            allowed += [char for char in string.printable if char not in taken]
    if negated:
        allowed = [char for char in _LETTERS + string.digits + string.punctuation if char not in allowed]
    if not allowed:
        raise ValueError("nothing fits")
    return rng.choice(allowed)
