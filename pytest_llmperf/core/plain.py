"""Untrusted text (replies, server errors, names) made safe to print on one line."""

from __future__ import annotations

import re

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


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
