"""Reading JSON of unknown shape without trusting it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonObject: TypeAlias = Mapping[str, object]

EMPTY: JsonObject = {}

_WHITESPACE = " \t\n\r"


def loads(text: str | bytes) -> object:
    """What *text* says, by the letter of RFC 8259: ``NaN`` and ``Infinity`` are refused.

    Raises ValueError for anything else, also for nesting too deep to read.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    text = text.strip(_WHITESPACE)
    try:  # not `decode`, which looks for the white space by regular expressions, in a third of the time
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if end != len(text):
        raise ValueError(f"something follows the JSON at character {end}")
    return value


def dumps(value: object) -> bytes:
    """*value* as JSON in UTF-8. Raises TypeError and ValueError for what is not JSON."""
    return _ENCODER.encode(value).encode()


_ENCODER = json.JSONEncoder(allow_nan=False)


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def as_object(value: object) -> JsonObject:
    """*value* if it is an object, else an empty one."""
    return value if isinstance(value, dict) else EMPTY


def as_items(value: object) -> Sequence[object]:
    """*value* if it is an array, else an empty one."""
    return value if isinstance(value, list) else ()


def as_text(value: object) -> str:
    """*value* if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def as_count(value: object) -> int | None:
    """*value* if it is a whole number of at least 0, else None."""
    if type(value) is int:  # not True, which is an int too
        return value if value >= 0 else None
    if not isinstance(value, float):
        return None
    return int(value) if value >= 0 and value == value // 1 else None


def as_seconds(value: object, *, unit_s: float) -> float | None:
    """*value*, a duration counted in units of *unit_s* seconds, in seconds; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value * unit_s if value >= 0 and math.isfinite(value) else None
