"""A thin HTTP/1.1 client for measuring: an asyncio.Protocol over httptools, and a pool of connections.

General clients put locks, task switches and parsers between the socket and the clock; here every
piece is stamped when it was read, before anything looks at it. The pieces of a stream are then held
back until its end and read all at once: to wake a task for every token costs as much as reading it,
and would delay the stamps of the other streams.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httptools

from pytest_llmperf.client.dial import dial, look_up
from pytest_llmperf.client.target import Target
from pytest_llmperf.client.turnstile import Turnstile
from pytest_llmperf.core.connections import SetUp

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_MAX_HEAD_BYTES = 64 * 1024
_MAX_BUFFERED_BYTES = 4 * 1024 * 1024
_READ_BYTES = 64 * 1024  #: at once

#: The head of an answer that has an end to wait for. Another one, or half of one, is read when it is there.
_CHUNKED_HEAD = re.compile(
    rb"HTTP/1\.1 200 [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?"
    rb"transfer-encoding:[ \t]*chunked[ \t]*\r\n(?:[^\r\n]+\r\n)*\r\n",
    re.IGNORECASE,
)

#: What ends a chunked answer; also some streams end every event like this, which are then not held back.
_LAST_CHUNK = b"\r\n\r\n"

#: With these a stream announces its end, or an error, after which a server may leave it open. Inside
#: generated text the quotes are escaped; to be mistaken or to miss one costs time and nothing else.
_DONE, _ERROR, _DONE_OF_OLLAMA = b"[DONE]", b'"error"', b'"done":true'


class HttpError(Exception):
    """Bytes that are not HTTP, or too many of them."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]


class ResponseParser:
    """One answer, sans-IO: bytes in, its head, its body and its end out."""

    def __init__(self) -> None:
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._has_head = False
        self._head: Head | None = None
        self._body: list[bytes] = []
        self._last: int | None = None  #: how many pieces belong to the answer, once it is complete
        self.on_body = self._body.append  #: takes in a piece of the body; httptools calls it
        #: None once it is complete: the two refer to each other, which only the garbage collector would end.
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self.complete = False  #: whether the end came that HTTP announced
        self.reusable = False  #: whether the connection can carry another request

    def feed(self, data: bytes) -> tuple[Head | None, bytes]:
        """What *data* brings: the head, if it is complete now, and a part of the body. Raises HttpError."""
        if self._parser is None:
            self.reusable = False  # something follows an answer that is complete
            return None, b""
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise HttpError(str(error) or "unexpected upgrade") from None
            self.reusable = False  # the same, in one piece with it
        if not self._has_head and self._head_bytes > _MAX_HEAD_BYTES:
            raise HttpError(f"a head of more than {_MAX_HEAD_BYTES} bytes")
        head, self._head = self._head, None
        body = b"".join(self._body[: self._last])
        self._body.clear()
        if self.complete:
            self._parser = None
        return head, body

    @property
    def chunked(self) -> bool:
        """Whether the head came, and says that the body is."""
        return self._has_head and "chunked" in self._headers.get("transfer-encoding", "").lower()

    def close(self) -> None:
        """The connection ended: for a body without a length that is its end."""
        self.reusable = False
        if self._has_head and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self.complete = True
            self._parser = None

    def on_message_begin(self) -> None:
        """A message begins; httptools calls it."""
        if self.complete:
            self.reusable = False
        self._headers = {} if not self.complete else self._headers

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; httptools calls it."""
        if not self.complete:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is complete; httptools calls it."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if not self.complete and status >= 200:
            self._has_head = True
            self._head = Head(status, self._headers)

    def on_message_complete(self) -> None:
        """The message ends; httptools calls it. After 1xx the real one follows."""
        if self._has_head and not self.complete:
            assert self._parser is not None
            self.complete = True
            self._last = len(self._body)
            self.reusable = self._parser.should_keep_alive()


class Connection(asyncio.BufferedProtocol):
    """A socket that stamps what arrives.

    Not an asyncio.Protocol: that makes room for 256 KiB before each read, in four times the time of the read.
    """

    def __init__(self, buffer: bytearray | None = None, turnstile: Turnstile | None = None) -> None:
        """*buffer* is read into; all connections of one event loop can share it, and *turnstile*.

        None: it has its own.
        """
        self._loop = asyncio.get_running_loop()
        self._turnstile = turnstile or Turnstile()
        self._buffer = memoryview(bytearray(_READ_BYTES) if buffer is None else buffer)
        self._transport: asyncio.Transport | None = None
        self._received: list[tuple[float, bytes]] = []
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._until_s = 0.0  # how long the waiter waits
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = 0.0  # when the timer does
        self._error: Exception | None = None
        self._ended = False
        self._paused = False
        self._beginning = self._holding = False
        self._queued = False  # at the turnstile

    @property
    def idle_and_open(self) -> bool:
        """Whether it can take a request: nothing arrived unasked, and nobody closed it."""
        return not (self._ended or self._received or self._transport is None or self._transport.is_closing())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected; asyncio calls it."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no class of asyncio's

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where to read to; asyncio calls it."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes; asyncio calls it. The stamp comes first."""
        at_s = time.perf_counter()
        self.received(bytes(self._buffer[:nbytes]), at_s)

    def received(self, data: bytes, at_s: float) -> None:
        """Take in *data*, which arrived at *at_s*."""
        self._received.append((at_s, data))
        self._buffered += len(data)
        unread = data
        if self._beginning:
            self._beginning = False
            head = _CHUNKED_HEAD.match(data)
            self._holding = head is not None
            unread = data if head is None else data[head.end() :]
        if self._buffered > _MAX_BUFFERED_BYTES and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        if (not self._holding or self._paused or self._may_end(unread)) and not self._queued:
            self._queued = True
            self._turnstile.enter(self._turn)

    def eof_received(self) -> None:
        """The server will send no more; asyncio calls it and closes."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed; asyncio calls it."""
        self._ended = True
        self._error = exc
        self._stop_timer()
        self._wake()

    def write(self, data: bytes) -> None:
        """Send *data*."""
        assert self._transport is not None
        self._transport.write(data)

    def expect(self) -> None:
        """The next piece begins an answer; a chunked one is held back until it may be at its end."""
        self._beginning, self._holding = True, False

    def hold_back(self, *, holding: bool) -> None:
        """Whether to wake the reader only when a chunked answer may be at its end."""
        self._holding = holding

    async def read(self, until_s: float) -> list[tuple[float, bytes]]:
        """The pieces that arrived, each with its moment; none at the end.

        Waits for the first one, or where they are held back for the last one, but not past *until_s*.
        Moments are on the clock of ``time.perf_counter()``. Raises TimeoutError when there is
        nothing, and OSError.
        """
        if not self._received and not self._ended:
            self._waiter = self._loop.create_future()
            self._until_s = until_s
            if self._timer is None or self._rings_s > until_s:
                self._set_timer()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._received and self._error is not None:
            raise self._error
        return self.take()

    def take(self) -> list[tuple[float, bytes]]:
        """The pieces that arrived and were not read yet, also those held back."""
        received, self._received = self._received, []
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return received

    def abort(self) -> None:
        """Close at once."""
        self._ended = True
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    def _set_timer(self) -> None:
        """Ring when the waiter has waited enough. One timer serves many waits: most end long before it."""
        self._stop_timer()
        self._rings_s = self._until_s
        self._timer = self._loop.call_later(max(self._until_s - time.perf_counter(), 0.0), self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _may_end(self, data: bytes) -> bool:
        if 0 < len(data) < len(_LAST_CHUNK):  # it may be the end of it
            data = b"".join(piece for _, piece in self._received[-len(_LAST_CHUNK) :])
        # not a loop over the texts: this runs between the stamps of other streams
        return data.endswith(_LAST_CHUNK) or _DONE in data or _ERROR in data or _DONE_OF_OLLAMA in data

    def _expire(self) -> None:
        self._timer = None
        if self._waiter is not None and not self._waiter.done():
            if self._rings_s < self._until_s:
                self._set_timer()  # it was set for an earlier wait
            elif self._received:
                self._waiter.set_result(None)
            else:
                self._waiter.set_exception(TimeoutError())

    def _turn(self) -> None:
        self._queued = False
        if self._received:  # else somebody has taken it meanwhile, and who waits now waits for more
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Pool:
    """Connections to one server. One event loop at a time; another one starts with none."""

    def __init__(self, target: Target, opened: Callable[[SetUp], None] | None = None) -> None:
        """*opened* is told how long each connection took to set up."""
        self._target = target
        self._opened = opened
        self._buffer = bytearray(_READ_BYTES)
        self._turnstile: Turnstile | None = None
        self._idle: list[Connection] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def connect(self) -> Connection:
        """A new connection. Raises TimeoutError and OSError."""
        self._here()
        async with asyncio.timeout(self._target.connect_s):
            addresses, dns_s = await look_up(self._target.host, self._target.port)
            began_s = time.perf_counter()
            dialled = await dial(addresses)
            tcp_s = time.perf_counter() - began_s
            connection, tls_s = await self._secured(dialled)
        if self._opened is not None:
            self._opened(SetUp(dns_s=dns_s, tcp_s=tcp_s, tls_s=tls_s))
        return connection

    async def _secured(self, dialled: socket.socket) -> tuple[Connection, float | None]:
        """A connection on a socket, and the seconds that TLS took, if it is used."""
        began_s = time.perf_counter()
        name = None if self._target.context is None else self._target.host
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._buffer, self._turnstile),
                sock=dialled,
                ssl=self._target.context,
                server_hostname=name,
            )
        except BaseException:
            dialled.close()
            raise
        return connection, None if self._target.context is None else time.perf_counter() - began_s

    def take(self) -> Connection | None:
        """The idle connection used last, None if there is none."""
        self._here()
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_and_open:
                return connection
            connection.abort()
        return None

    def _here(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._turnstile = Turnstile()
            self._idle.clear()

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request."""
        self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
