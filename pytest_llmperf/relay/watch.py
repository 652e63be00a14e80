"""Who looks on: what a relay tells about each exchange."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from pytest_llmperf.core.exchange import FailureKind

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedRequest:
    """A request as the client sent it. Times are on the clock of ``time.perf_counter()``."""

    method: str
    target: str  #: path and query below the relay's own prefix, such as ``/v1/chat/completions``
    tag: str  #: what the route says of it, such as whose request it is
    headers: Headers = field(repr=False)  #: as they came, with secrets in them
    body: bytes = field(repr=False)
    began_s: float  #: when its first byte arrived
    arrived_s: float  #: when its last byte arrived


class Watch(Protocol):
    """Is told of one exchange, in this order; `end` comes exactly once, and nothing after it."""

    def sent(self, at_s: float) -> None:
        """The request goes out: twice, if a kept connection turned out to be dead."""
        ...

    def head(self, status: int, headers: Headers, at_s: float) -> None:
        """The head of the answer came, as the server sent it. Interim answers (1xx) are left out."""
        ...

    def chunk(self, data: bytes, at_s: float) -> None:
        """A piece of the answer's body came, without the framing of HTTP and with its content coding."""
        ...

    def end(self, at_s: float, failure: FailureKind | None, message: str) -> None:
        """It is over: *failure* is None where the end came that HTTP announced, whatever the status.

        CANCELLED: the client left. CUT: the server did. CONNECT, DNS, TLS, TIMEOUT_CONNECT: it was never
        reached. MALFORMED: what it sent is not HTTP.
        """
        ...


#: Makes the watch of an exchange, None for one that nobody wants to see.
Observer: TypeAlias = Callable[[RelayedRequest], Watch | None]
