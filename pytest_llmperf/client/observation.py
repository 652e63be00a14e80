"""A request of the user's own client, as it was seen from beside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_llmperf.core.exchange import FailureKind


@dataclass(slots=True, kw_only=True)
class Observation:
    """What was seen of one exchange. Times on the clock of ``time.perf_counter()``, taken on arrival.

    Its methods are those of a watch (`relay.watch.Watch`).
    """

    target: str  #: path and query of the request
    body: bytes = field(repr=False)
    began_s: float  #: when the request was handed over, or when its first byte was seen
    sent_s: float | None = None
    head_s: float = 0.0
    status: int | None = None
    content_type: str = ""
    encoding: str = ""
    pieces: list[tuple[float, bytes]] = field(default_factory=list, repr=False)
    done_s: float | None = None  #: None while it goes on
    failure: FailureKind | None = None  #: why it ended, where not by an answer
    message: str = ""

    def sent(self, at_s: float) -> None:
        """The request went out."""
        self.sent_s = at_s

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]], at_s: float) -> None:
        """The head of the answer came."""
        self.status, self.head_s = status, at_s
        for name, value in headers:
            match name.lower():
                case b"content-type":
                    self.content_type = value.decode("latin-1")
                case b"content-encoding":
                    self.encoding = value.decode("latin-1")

    def chunk(self, data: bytes, at_s: float) -> None:
        """A piece of the answer came."""
        self.pieces.append((at_s, data))

    def end(self, at_s: float, failure: FailureKind | None = None, message: str = "") -> None:
        """It is over; only the first time counts."""
        if self.done_s is None:
            self.done_s, self.failure, self.message = at_s, failure, message
