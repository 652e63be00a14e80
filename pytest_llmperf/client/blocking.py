"""Connections that block a thread until bytes come, which are stamped before anything looks at them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from pytest_llmperf.client.dial import SHORTEST_S, dial_blocking, look_up_blocking
from pytest_llmperf.client.target import Target
from pytest_llmperf.core.connections import SetUp

_READ_BYTES = 64 * 1024  #: at once


class BlockingConnection:
    """A socket that stamps what arrives."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    @property
    def idle_and_open(self) -> bool:
        """Whether it can take a request: nothing arrived unasked, and nobody closed it."""
        self._socket.settimeout(0)
        try:
            # of the socket itself: what TLS makes of the bytes is not asked
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def write(self, data: bytes, until_s: float) -> None:
        """Send *data*. Raises TimeoutError and OSError."""
        self._wait_until(until_s)
        self._socket.sendall(data)

    def read(self, until_s: float) -> list[tuple[float, bytes]]:
        """The next piece, with its moment on the clock of ``time.perf_counter()``; none at the end.

        Raises TimeoutError when nothing comes before *until_s*, and OSError.
        """
        self._wait_until(until_s)
        data = self._socket.recv(_READ_BYTES)
        at_s = time.perf_counter()
        return [(at_s, data)] if data else []

    def close(self) -> None:
        """Close at once."""
        self._socket.close()

    def _wait_until(self, until_s: float) -> None:
        # what is there already is taken, however late this thread is
        self._socket.settimeout(max(until_s - time.perf_counter(), SHORTEST_S))


class BlockingPool:
    """Connections to one server. Threads share it."""

    def __init__(self, target: Target, opened: Callable[[SetUp], None] | None = None) -> None:
        """*opened* is told how long each connection took to set up."""
        self._target = target
        self._opened = opened
        self._lock = threading.Lock()
        self._idle: list[BlockingConnection] = []
        self._closed = False

    def connect(self) -> BlockingConnection:
        """A new connection. Raises TimeoutError and OSError."""
        ends_s = time.perf_counter() + self._target.connect_s
        addresses, dns_s = look_up_blocking(self._target.host, self._target.port)
        began_s = time.perf_counter()
        connected = dial_blocking(addresses, ends_s)
        tcp_s = time.perf_counter() - began_s
        tls_s: float | None = None
        if self._target.context is not None:
            began_s = time.perf_counter()
            try:
                connected.settimeout(max(ends_s - began_s, SHORTEST_S))
                connected = self._target.context.wrap_socket(connected, server_hostname=self._target.host)
            except BaseException:
                connected.close()
                raise
            tls_s = time.perf_counter() - began_s
        if self._opened is not None:
            self._opened(SetUp(dns_s=dns_s, tcp_s=tcp_s, tls_s=tls_s))
        return BlockingConnection(connected)

    def take(self) -> BlockingConnection | None:
        """The idle connection used last, None if there is none."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.idle_and_open:
                return connection
            connection.close()

    def give_back(self, connection: BlockingConnection) -> None:
        """Keep it for the next request."""
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the idle connections, and those under way when they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
