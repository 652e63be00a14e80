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
