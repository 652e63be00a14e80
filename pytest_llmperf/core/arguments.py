"""Values of marker arguments, checked: each function gives the value, or a ValueError says what is wrong."""

from __future__ import annotations

from collections.abc import Callable


def whole(least: int) -> Callable[[object], int]:
    """Takes whole numbers from *least*."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{value!r} is not a whole number from {least}")
        return value

    return parse


def parse_name(value: object) -> str:
    """A text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a name")
    return value
