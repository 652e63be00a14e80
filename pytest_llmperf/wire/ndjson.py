"""Newline-delimited JSON: bytes in, payloads out."""

from __future__ import annotations

from pytest_llmperf.wire.frames import Frame
from pytest_llmperf.wire.lines import LineSplitter


class NdjsonFrames:
    """Reads one JSON text per line, cut anywhere; empty lines are skipped."""

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self.end = "\n"
        self.at_start = True
        self.stray = b""  # every line is a frame here

    def feed(self, data: bytes) -> list[Frame]:
        """The lines that *data* completes. Raises LineTooLongError."""
        lines = self._lines.feed(data)
        self.at_start = self._lines.at_start
        return [Frame(line) for line in lines if line.strip()]

    def close(self) -> list[Frame]:
        """A last line without its end; it may be cut in the middle."""
        rest = self._lines.close()
        return [Frame(rest)] if rest.strip() else []
