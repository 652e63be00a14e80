"""One request, and the answer that is written to it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from pytest_llmperf.mock.head import Head

if TYPE_CHECKING:
    from pytest_llmperf.mock.connection import Connection
    from pytest_llmperf.mock.delivery import Delivery
    from pytest_llmperf.mock.faults import Fault
    from pytest_llmperf.mock.parcel import Parcel
    from pytest_llmperf.mock.state import State


class Call:
    """One request and its answer.

    What most calls never set has its first value in the class: making one is five assignments.
    """

    first_byte_ns: int = 0  #: when the answer's first byte was given to the system; 0: not yet
    first_token_ns: int = 0  #: when the first part that carries tokens was given to the system
    last_byte_ns: int = 0
    done: bool = False  #: answered, or the client is gone
    reuse_key: Any = None  #: what an equal answer is found by
    reusable: bool = False  #: its answer may serve the same request again
    number: int = -1  #: order of arrival at the model, from 0; -1: not a request to the model
    status: int = 0
    fault: Fault | None = None  #: that is played on it
    delivery: Delivery | Parcel | None = None  #: of its answer, while it is on its way
    counted: State | None = None  #: where it is one of those that run
    on_gone: Callable[[], None] | None = None  #: called when the client leaves before the end

    def __init__(self, connection: Connection, head: Head, body: bytes, arrived_ns: int) -> None:
        self.connection = connection
        self.head = head
        self.body = body
        self.arrived_ns = arrived_ns  #: when the last byte of the request was read
        self.keep_alive = head.keep_alive

    @property
    def method(self) -> str:
        """GET, POST or another."""
        return self.head.method

    @property
    def target(self) -> bytes:
        """Path and query."""
        return self.head.target

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As they were spelled, in their order."""
        return self.head.headers

    def plays(self, kind: str) -> bool:
        """Whether a fault of that kind is played on it."""
        return self.fault is not None and self.fault.kind == kind

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of that name (lower case)."""
        return self.head.header(name)

    def write(self, data: bytes) -> None:
        """Send a part of the answer now."""
        if self.done:
            return
        self.last_byte_ns = now_ns = perf_counter_ns()
        if not self.first_byte_ns:
            self.first_byte_ns = now_ns
        self.connection.transport.write(data)

    def end(self, data: bytes = b"") -> None:
        """Send the last part of the answer; the connection goes on to its next request."""
        if self.done:
            return
        if data:
            self.write(data)
        self.done = True
        self.connection.finished(self)

    def end_whole(self, data: bytes) -> None:
        """Send the whole answer, tokens and all; nothing of it was sent before."""
        self.first_byte_ns = self.first_token_ns = self.last_byte_ns = perf_counter_ns()
        connection = self.connection
        connection.transport.write(data)
        self.done = True
        connection.finished(self)

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection in the middle; with a TCP reset instead of a proper end if *reset*."""
        if self.done:
            return
        self.done = True
        self.connection.cut(reset=reset)
        self.connection.finished(self)
