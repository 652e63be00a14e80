"""Server-sent events: bytes in, payloads out.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html, except that a last event
without its blank line is handed out by ``close()``, because servers leave that line away.
"""

from __future__ import annotations

from pytest_llmperf.wire.frames import Frame
from pytest_llmperf.wire.lines import LineSplitter

_BOM = b"\xef\xbb\xbf"

_BEGIN, _END = b"data: ", b"\n\n"


class SseFrames:
    """Reads server-sent events, cut anywhere, also inside a UTF-8 character."""

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._first = True
        self._fields: list[bytes] = []
        self._event = ""
        self.end = "\n\n"
        self.at_start = True
        self.stray = b""  #: the first line that is no field and yet looks like JSON

    def feed(self, data: bytes) -> list[Frame]:
        """The events that *data* completes. Raises LineTooLongError."""
        # one whole event of one line, as nearly all are
        if self.at_start and data.startswith(_BEGIN) and data.find(b"\n") == len(data) - len(_END):
            payload = data[len(_BEGIN) : -len(_END)]
            if data.endswith(_END) and b"\r" not in payload:
                self._first = False
                return [Frame(payload)]
        frames = [frame for line in self._lines.feed(data) if (frame := self._take(line)) is not None]
        self.at_start = not (self._fields or self._event) and self._lines.at_start
        return frames

    def close(self) -> list[Frame]:
        """An event that lacks its blank line; it may be cut in the middle."""
        rest = self._lines.close()
        if rest:
            self._take(rest)
        frame = self._take(b"")
        return [] if frame is None else [frame]

    def _take(self, line: bytes) -> Frame | None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        # a line that starts with a colon is a comment, and its name is empty
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._fields.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", errors="replace")
        elif name and b"{" in line and not self.stray:
            # the standard passes it over; here that would lose a piece of the answer, or an error
            self.stray = line
        return None

    def _dispatch(self) -> Frame | None:
        fields, event = self._fields, self._event
        self._fields, self._event = [], ""
        return Frame(b"\n".join(fields), event) if fields else None
