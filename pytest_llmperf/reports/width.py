"""How wide text is in a terminal, and what of it fits."""

from __future__ import annotations

import unicodedata


def columns(text: str) -> int:
    """How many columns of a terminal *text* takes: East Asian wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def shorten(text: str, width: int) -> str:
    """*text* in at most *width* columns: its middle gives way, for names differ at both ends."""
    if columns(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    tail = _taken(text[::-1], (width - 1) // 2)[::-1]
    head = _taken(text, width - 1 - columns(tail))
    return f"{head}…{tail}"


def _columns(character: str) -> int:
    if unicodedata.combining(character) or character in "\u200c\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _taken(text: str, width: int) -> str:
    """As much of the start of *text* as fits *width* columns."""
    used = 0
    for index, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return text[:index]
    return text
