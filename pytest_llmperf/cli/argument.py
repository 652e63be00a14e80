"""Values of a command's arguments, whose errors say what was expected."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def of(parse: Callable[[str], T]) -> Callable[[str], T]:
    """*parse* for argparse, which shows what a ValueError says only where it is of argparse's own kind."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return parsed
