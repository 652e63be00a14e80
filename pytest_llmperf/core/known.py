"""What several parts say, as one: some may not know, and some may disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Number = TypeVar("Number", int, float)


def sum_known(values: Sequence[Number | None]) -> Number | None:
    """The sum of those of *values* that are known; None when none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def agreed(words: Sequence[str]) -> str:
    """The one word that all of *words* are, or ``mixed``."""
    return words[0] if len(set(words)) == 1 else "mixed"
