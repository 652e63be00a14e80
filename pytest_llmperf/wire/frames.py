"""How the pieces of a streamed answer are told apart."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Frame(NamedTuple):  # made for every chunk, as is `events.Delta`
    """One message of a stream."""

    payload: bytes
    event: str = ""  #: the SSE event name


class Frames(Protocol):
    """Bytes in, frames out, however the bytes were cut."""

    end: str  #: what ends a frame, as a rule
    at_start: bool  #: whether a frame begins with the next byte, and nothing before it matters any more
    stray: bytes  #: the first line that belongs to no frame and yet looks like JSON

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that *data* completes. Raises LineTooLongError."""
        ...

    def close(self) -> list[Frame]:
        """What the end of the bytes completes; it may be cut in the middle."""
        ...
