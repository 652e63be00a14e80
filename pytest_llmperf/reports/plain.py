"""Untrusted text (replies, server errors, names) made safe to print on one line."""

from __future__ import annotations

import re
import unicodedata

#: What can move the cursor, end the line, reorder the text around it or hide in it. The two joiners
#: (U+200C, U+200D) stay: Persian and emoji need them.
UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 with ESC, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi controls
    "\u00ad\u180e\u200b\u2060-\u2065\ufeff"  # invisible
    "\u2028\u2029"  # line and paragraph separator
    "\ud800-\udfff"  # a lone surrogate cannot be encoded
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags
    "]"
)


def plain(text: str, *, limit: int | None = None) -> str:
    r"""*text* with every control, bidi and invisible character written out, as in ``\x1b`` or ``\u202e``.

    *limit*: at most this many characters; a longer text ends with "…".
    """
    # Cut first, so that a huge body costs nothing; an escape only makes it longer.
    safe = UNSAFE.sub(_escaped, text if limit is None else text[: limit + 1])
    return safe if limit is None or len(safe) <= limit else f"{safe[: limit - 1]}…"


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


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
