"""A network for httpx that stamps bytes as they arrive and keeps deadlines.

httpx parses the HTTP framing (0.05 to 0.1 ms for each piece) before anyone sees the bytes, and its
timeout starts anew with every byte, so that a server that drips holds it forever. Both are mended
one layer below, in the ``network_backend`` of httpcore.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import httpcore
import httpx

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.core.connections import SetUp


@dataclass(slots=True)
class Meter:
    """What the network tells about the request that is under way in this thread."""

    attempt: Attempt
    read_s: float | None = None  #: when the last bytes arrived
    opened: bool = False  #: whether a connection was opened for it
    writing: bool = False  #: whether a connection was there to write to

    @property
    def reused(self) -> bool:
        """Whether it went over a connection that was kept."""
        return self.writing and not self.opened


class StaleConnectionError(Exception):
    """An answer lay on a kept connection before anything was asked: it belongs to nobody."""


_POLL_S = 0.001

METER: ContextVar[Meter | None] = ContextVar("pytest_llmperf_meter", default=None)


class StampingTransport(httpx.HTTPTransport):
    """httpx's own transport on the stamping network."""

    def __init__(self, context: ssl.SSLContext | None, opened: Callable[[SetUp], None] | None = None) -> None:
        """*opened* is told how long each connection took to set up."""
        super().__init__(verify=context or False, trust_env=False)
        # HTTPTransport does not take a network backend, its pool does. If a later httpx renames
        # the attribute, the clients fall back to stamping what httpx hands out.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=None, network_backend=StampingBackend(opened)
        )


class StampingBackend(httpcore.NetworkBackend):
    """Opens stamping connections."""

    def __init__(self, opened: Callable[[SetUp], None] | None = None) -> None:
        self._plain = httpcore.SyncBackend()
        self._opened = opened or (lambda _: None)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # Any: httpcore's own union of tuples
    ) -> httpcore.NetworkStream:
        """Connect."""
        meter = METER.get()
        if meter is not None:
            meter.opened = True
        began_s = time.perf_counter()
        stream = self._plain.connect_tcp(host, port, timeout, local_address, socket_options)
        set_up = SetUp(tcp_s=time.perf_counter() - began_s)
        return StampingStream(stream, set_up, self._opened)


class StampingStream(httpcore.NetworkStream):
    """A connection that stamps what arrives."""

    def __init__(
        self, stream: httpcore.NetworkStream, set_up: SetUp, opened: Callable[[SetUp], None]
    ) -> None:
        self._stream = stream
        self._set_up: SetUp | None = set_up  #: until it is told, with the first bytes that are sent
        self._opened = opened
        self._head = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes, within the deadline of the request under way."""
        meter = METER.get()
        if meter is None:
            return self._stream.read(max_bytes, timeout)
        remaining_s = meter.attempt.deadline().at_s - time.perf_counter()
        # what is there already is taken: that this process was late is not the server's fault
        data = self._stream.read(max_bytes, max(remaining_s, _POLL_S))
        meter.read_s = time.perf_counter()
        if data:
            meter.attempt.arrived(meter.read_s)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send. The head waits for the body, so that a request is one packet with one stamp."""
        if self._set_up is not None:
            self._opened(self._set_up)
            self._set_up = None
        meter = METER.get()
        if meter is not None and not meter.writing:
            meter.writing = True
            self._head = buffer
            return
        if self._head:
            buffer, self._head = self._head + buffer, b""
            if meter is not None:
                meter.attempt.sending(time.perf_counter())
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted."""
        assert self._set_up is not None
        began_s = time.perf_counter()
        secured = self._stream.start_tls(ssl_context, server_hostname, timeout)
        set_up = replace(self._set_up, tls_s=time.perf_counter() - began_s)
        return StampingStream(secured, set_up, self._opened)

    def get_extra_info(self, info: str) -> Any:  # Any: as httpcore declares it
        """What httpcore asks, such as whether an idle connection was closed."""
        return self._stream.get_extra_info(info)
