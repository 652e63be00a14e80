"""OpenAI's padding of streams: a field of random length beside each delta.

Without it the size of a chunk would tell how long a token is to whoever sees the encrypted traffic.
On unless ``stream_options.include_obfuscation`` is false; the lengths follow OpenAI's documentation
of the field ("obfuscation"), not a recording.
"""

# ruff: noqa: S311 - padding in a test, not a secret

from __future__ import annotations

import string
from random import Random
from typing import Any

from pytest_llmperf.mock.dialect import Frames

_LETTERS = string.ascii_letters + string.digits
_LONGEST = 16


def wants_padding(request: dict[str, Any]) -> bool:
    """Whether the request leaves the padding on, as it is when nothing is said."""
    options = request.get("stream_options")
    return not (isinstance(options, dict) and options.get("include_obfuscation") is False)


def pad(frames: Frames, seed: str) -> Frames:
    """*frames* of chat chunks, padded; the same padding for the same *seed*."""
    rng = Random(seed)
    padded = []
    for step, frame in frames:
        padding = "".join(rng.choices(_LETTERS, k=rng.randint(1, _LONGEST)))
        padded.append((step, frame.replace(b"}\n\n", b',"obfuscation":"%s"}\n\n' % padding.encode())))
    return padded
