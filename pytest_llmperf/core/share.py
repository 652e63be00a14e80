"""Shares as users write them."""

from __future__ import annotations

import re


def parse_share(value: object) -> float:
    """A share as users write it: ``0.1``, ``"10%"``. Raises ValueError."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", value)):
        return float(match[1]) / 100
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a share like 0.10 or '10%'")  # noqa: TRY004 - all become one usage error
    return float(value)


def typed(text: str) -> str | float:
    """A share typed on a command line, as the functions below take it. Raises ValueError."""
    try:
        return text if "%" in text else float(text)
    except ValueError:
        raise ValueError("expected a share such as 10% or 0.10") from None


def parse_rate(value: object) -> float:
    """A share from 0 to 1. Raises ValueError."""
    share = parse_share(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{value!r} is out of range; expected a share from 0 to 1, or such as '98%'")
    return share


def parse_regression(value: object) -> float:
    """How much worse is allowed: a share above 0. Raises ValueError.

    More than 1 needs its percent sign: whoever writes 10 means 10 %, and 1000 % would gate nothing.
    """
    share = parse_share(value)
    if not 0 < share <= (10 if isinstance(value, str) else 1):
        raise ValueError(f"{value!r} is out of range; expected a share such as 0.10 or '10%'")
    return share
