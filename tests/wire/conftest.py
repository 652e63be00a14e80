from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_llmperf.wire.answer import Answer
from pytest_llmperf.wire.dialects import dialect
from pytest_llmperf.wire.events import Delta, Event
from pytest_llmperf.wire.reader import PlainReader, StreamReader

RECORDINGS = Path(__file__).parent.parent / "data" / "wire"


@dataclass
class Reading:
    """What came out of the bytes of one answer."""

    events: list[Event]
    answer: Answer = field(default_factory=Answer)

    def __post_init__(self):
        for event in self.events:
            self.answer.add(event)

    @property
    def kind(self):
        return None if self.answer.failure is None else self.answer.failure.kind

    @property
    def message(self):
        return self.answer.failure.message

    @property
    def carrying(self):
        """How many deltas carry something: what TTFT and ITL are made of."""
        return sum(isinstance(event, Delta) and event.carries for event in self.events)


@pytest.fixture(scope="session")
def read() -> Callable[..., Reading]:
    """Reads an answer from its pieces."""

    def read(*pieces: bytes, kind: str = "openai", streamed: bool = True, complete: bool = True) -> Reading:
        reader = (StreamReader if streamed else PlainReader)(dialect(kind))
        events = [event for piece in pieces for event in reader.feed(piece)]
        return Reading(events + reader.close(complete=complete))

    return read


@pytest.fixture(scope="session")
def stream(read) -> Callable[..., Reading]:
    """Reads an OpenAI stream from JSON texts, one for each event."""

    def stream(*payloads: str, complete: bool = True) -> Reading:
        return read(*(f"data: {payload}\n\n".encode() for payload in payloads), complete=complete)

    return stream


@pytest.fixture(scope="session")
def body() -> Callable[[str], bytes]:
    """The body of a recording, without the HTTP framing."""

    def body(name: str) -> bytes:
        head, _, rest = (RECORDINGS / f"{name}.resp").read_bytes().partition(b"\r\n\r\n")
        return b"".join(_chunks(rest)) if b"chunked" in head.lower() else rest

    return body


def _chunks(rest: bytes) -> Iterable[bytes]:
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return
        yield rest[:length]
        rest = rest[length + 2 :]
