"""Bytes in, whole lines out, however the bytes were cut."""

from __future__ import annotations

MAX_LINE_BYTES = 16 * 1024 * 1024


class LineTooLongError(ValueError):
    """A line that does not end within ``MAX_LINE_BYTES``."""


class LineSplitter:
    r"""Splits at ``\n``, ``\r\n`` and a lone ``\r``, and nowhere else.

    ``str.splitlines`` would also split at U+2028 and U+0085, which are allowed inside JSON.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._after_cr = False

    @property
    def at_start(self) -> bool:
        """Whether the next byte begins a line."""
        return not (self._parts or self._after_cr)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that *data* completes, without their ends.

        Raises LineTooLongError, so that a server cannot fill the memory.
        """
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        lines = data.splitlines(keepends=True)
        rest = b"" if not lines or lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        if lines:
            self._after_cr = not rest and lines[-1].endswith(b"\r")
            lines[0] = b"".join([*self._parts, lines[0]])
            self._parts, self._size = [], 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._size > MAX_LINE_BYTES:
            raise LineTooLongError(f"a line of more than {MAX_LINE_BYTES} bytes")
        return [line.rstrip(b"\r\n") for line in lines]

    def close(self) -> bytes:
        """What is left without a line end."""
        rest = b"".join(self._parts)
        self._parts, self._size = [], 0
        return rest
