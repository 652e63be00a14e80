"""Content codings: which of them can be read back, and reading them while they arrive."""

from __future__ import annotations

import re
import zlib
from typing import Protocol

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_READABLE = {"gzip", "x-gzip", "deflate", "identity"}


class Decoder(Protocol):
    """Takes the coding off, piece by piece. Raises ValueError for bytes that are not of the coding."""

    def __call__(self, data: bytes) -> bytes:
        """What *data* completes, perhaps nothing."""
        ...


def readable(accepted: str) -> str:
    """The value of Accept-Encoding without codings that `decoder` does not know, such as br and zstd.

    A ``*`` goes too, for it stands for them. With nothing left it is ``identity``.
    """
    kept = [part for part in map(str.strip, accepted.split(",")) if _coding(part) in _READABLE]
    return ", ".join(kept) or "identity"


def decoder(encoding: str) -> Decoder | None:
    """What reads a body of Content-Encoding *encoding*; None where it cannot be read."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return _identity
    return _inflating(zlib.decompressobj(_GZIP_OR_ZLIB)) if name in _READABLE else None


def _inflating(stream: zlib._Decompress) -> Decoder:
    def decode(data: bytes) -> bytes:
        try:
            return stream.decompress(data)
        except zlib.error as error:
            raise ValueError(f"the compressed answer is broken: {error}") from None

    return decode


def _identity(data: bytes) -> bytes:
    return data


def _coding(part: str) -> str:
    return re.split(r"[;\s]", part, maxsplit=1)[0].lower()
