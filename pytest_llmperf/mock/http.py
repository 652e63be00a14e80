"""HTTP/1.1 on one connection: bytes in, requests out, answers written as they become due."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

import httptools

if TYPE_CHECKING:
    from pytest_llmperf.mock.delivery import Delivery
    from pytest_llmperf.mock.faults import Fault

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
_READ_BYTES = 256 * 1024  # what asyncio reads at a time
_DRAIN_S = 1.0
MAX_PIPELINED = 64  # requests waiting on one connection before it is read no further


_NOT_LEARNT = (b"transfer-encoding", b"expect", b"upgrade")  # what they mean is not in the head alone
_LONGEST_KNOWN_HEAD = 8 * 1024
_MOST_KNOWN_HEADS = 512


class Head(NamedTuple):
    """The head of a request, understood: clients send the same one again and again."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    chunked: bool
    marked: bool
    body_bytes: int


class Heads:
    """The heads that were seen last, by their bytes; a request that is one of them needs no parser."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def get(self, data: bytes) -> Head | None:
        """What is known of the head that *data* ends with."""
        return self._known.get(data)

    def learn(self, data: bytes, call: Call) -> None:
        """*call* was parsed from *data*, which holds nothing else."""
        end = data.find(b"\r\n\r\n") + 4
        if end > _LONGEST_KNOWN_HEAD or len(data) - end != len(call.body):
            return
        if any(name.lower() in _NOT_LEARNT for name, _ in call.headers):
            return
        if len(self._known) >= _MOST_KNOWN_HEADS:
            self._known.clear()
        self._known[data[:end]] = Head(
            call.method, call.target, call.headers, call.keep_alive, call.chunked, call.marked, len(call.body)
        )


class Call:
    """One request and the answer being written to it."""

    __slots__ = (
        "arrived_ns",
        "body",
        "chunked",
        "connection",
        "delivery",
        "done",
        "fault",
        "first_byte_ns",
        "first_token_ns",
        "headers",
        "keep_alive",
        "last_byte_ns",
        "marked",
        "method",
        "number",
        "on_gone",
        "reusable",
        "reuse_key",
        "status",
        "target",
    )

    def __init__(
        self, connection: Connection, method: str, target: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        self.connection = connection
        self.method = method
        self.target = target
        self.headers = headers
        self.body = b""
        self.arrived_ns = 0  #: when the last byte of the request was read
        self.first_byte_ns = 0  #: when the answer's first byte was given to the system; 0: not yet
        self.first_token_ns = 0  #: when the first part that carries tokens was given to the system
        self.last_byte_ns = 0
        self.keep_alive = True
        self.done = False  #: answered, or the client is gone
        self.reuse_key: Any = None  #: what an equal answer is found by
        self.reusable = False  #: its answer may serve the same request again
        self.number = -1  #: order of arrival at the model, from 0; -1: not a request to the model
        self.status = 0
        self.marked = True  #: may have headers that are meant for the mock (X-Llmperf-...)
        self.chunked = True  #: the client takes the chunked transfer coding
        self.fault: Fault | None = None  #: that is played on it
        self.delivery: Delivery | None = None  #: of its answer, while it is on its way
        self.on_gone: Callable[[], None] | None = None  #: called when the client leaves before the end

    def plays(self, kind: str) -> bool:
        """Whether a fault of that kind is played on it."""
        return self.fault is not None and self.fault.kind == kind

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of that name (lower case)."""
        for key, value in self.headers:
            if len(key) == len(name) and key.lower() == name:
                return value
        return None

    def write(self, data: bytes) -> None:
        """Send a part of the answer now."""
        if self.done:
            return
        self.last_byte_ns = perf_counter_ns()
        if not self.first_byte_ns:
            self.first_byte_ns = self.last_byte_ns
        self.connection.transport.write(data)

    def end(self, data: bytes = b"") -> None:
        """Send the last part of the answer; the connection goes on to its next request."""
        if self.done:
            return
        if data:
            self.write(data)
        self.done = True
        self.connection.finished(self)

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection in the middle; with a TCP reset instead of a proper end if *reset*."""
        if self.done:
            return
        self.done = True
        self.connection.cut(reset=reset)
        self.connection.finished(self)


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_call",
        "_closing",
        "_current",
        "_head_bytes",
        "_headers",
        "_heads",
        "_idle",
        "_parser",
        "_queue",
        "_raw_head_bytes",
        "_refused",
        "_starting",
        "_target",
        "_unread",
        "answered",
        "on_call",
        "on_finished",
        "peers",
        "refuse",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        *,
        on_call: Callable[[Call], None],
        on_finished: Callable[[Call], None],
        refuse: Callable[[int, str], bytes],
        peers: set[Connection],
        heads: Heads,
    ) -> None:
        self._heads = heads
        self._idle = True  # the parser is between two requests
        self.on_call = on_call
        self.on_finished = on_finished
        self.refuse = refuse
        self.peers = peers
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._raw_head_bytes = 0  # read since the last whole head; bounds a header line without an end
        self._body_bytes = 0
        self._call: Call | None = None  # being received
        self._current: Call | None = None  # being answered
        self._queue: deque[Call] = deque()
        self._closing = False
        self._refused = 0
        self._starting = False
        self._unread = 0  # bytes of a body that the parser has left to us
        self.answered = 0  #: requests on this connection

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peers.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came; complete requests are answered at once or wait their turn."""
        now_ns = perf_counter_ns()
        if self._closing:
            return
        alone = self._idle and self._current is None and not self._queue and not self._unread
        if alone:
            end = data.find(b"\r\n\r\n") + 4
            head = self._heads.get(data[:end])
            if head is not None and len(data) - end == head.body_bytes:
                self._start_known(head, data[end:], now_ns)
                return
        self._feed(data)
        if self._refused:
            self._refuse(self._refused)
        elif self._queue and not self._unread:
            if alone and self._idle and len(self._queue) == 1:
                self._heads.learn(data, self._queue[0])
            self._start(now_ns)

    def _feed(self, data: bytes) -> None:
        """Parse *data*; sets what it is refused with, if it is."""
        if self._unread:
            data = self._take_body(data)
        elif self._call is None:
            self._raw_head_bytes += len(data)
        while data:
            rest = b""
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._decline_upgrade(data[upgrade.args[0] :])
            except httptools.HttpParserError:
                self._refused = self._refused or 400
                return
            data = rest
        if self._raw_head_bytes > MAX_HEAD_BYTES + _READ_BYTES:
            self._refused = 431

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone: stop answering."""
        self.peers.discard(self)
        self._closing = True
        self._queue.clear()
        call, self._current = self._current, None
        if call is not None and not call.done:
            call.done = True
            if call.on_gone is not None:
                call.on_gone()
            self.on_finished(call)

    def pause_writing(self) -> None:
        """The client reads slowly: take no more requests from it."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    # --- httptools

    def on_message_begin(self) -> None:
        """Nothing of the request before is left."""
        self._target = b""
        self._headers = []
        self._body = []
        self._head_bytes = 0
        self._body_bytes = 0
        self._call = None
        self._idle = False

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One header, and trailers after a chunked body too."""
        self._count(len(name) + len(value or b"") + 4)
        if self._call is None:
            self._headers.append((name, value or b""))

    def on_headers_complete(self) -> None:
        """Everything but the body is known."""
        self._raw_head_bytes = 0
        method = self._parser.get_method().decode("ascii", "replace")
        self._call = call = Call(self, method, self._target, self._headers)
        call.keep_alive = self._parser.should_keep_alive()
        call.chunked = self._parser.get_http_version() != "1.0"
        call.marked = any(name[:10].lower() == b"x-llmperf-" for name, _ in self._headers)
        for name, value in self._headers:
            if len(name) == 6 and name.lower() == b"expect" and value.lower() == b"100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            elif len(name) == 14 and name.lower() == b"content-length" and int(value) > MAX_BODY_BYTES:
                self._refused = 413

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refused = 413

    def on_message_complete(self) -> None:
        """The request is whole."""
        call, self._call = self._call, None
        self._raw_head_bytes = 0
        self._idle = True
        if call is None or self._refused:
            return
        call.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._queue.append(call)

    # --- the answering side

    def finished(self, call: Call) -> None:
        """*call* is answered; go on with what waits, or close if the client asked for it."""
        self.answered += 1
        self.on_finished(call)
        if self._current is call:
            self._current = None
        if not call.keep_alive:
            self._closing = True
            self.transport.close()
        elif self._queue and not self._starting:
            # not from here: a pipelined client would grow the stack
            asyncio.get_running_loop().call_soon(self._start, 0)

    def cut(self, *, reset: bool) -> None:
        """End the connection without ending the answer."""
        self._closing = True
        self._queue.clear()
        if reset:
            linger = struct.pack("ii", 1, 0)  # no time to linger: the system sends a reset
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        else:
            self.transport.close()

    def _start_known(self, head: Head, body: bytes, now_ns: int) -> None:
        self._current = call = Call(self, head.method, head.target, head.headers)
        call.keep_alive, call.chunked, call.marked = head.keep_alive, head.chunked, head.marked
        call.body = body
        call.arrived_ns = now_ns
        self._starting = True
        self.on_call(call)
        self._starting = False

    def _start(self, now_ns: int) -> None:
        if now_ns:
            for waiting in self._queue:
                if not waiting.arrived_ns:
                    waiting.arrived_ns = now_ns
        self._starting = True
        while self._queue and self._current is None:
            self._current = call = self._queue.popleft()
            self.on_call(call)
        self._starting = False
        if len(self._queue) > MAX_PIPELINED:
            self.transport.pause_reading()
        elif not self._queue and not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    def _decline_upgrade(self, rest: bytes) -> bytes:
        """Go on as if nothing had been asked (Java's client asks for h2c by default); what to parse next.

        The parser leaves the body of such a request to whoever understands the new protocol.
        """
        self._parser = httptools.HttpRequestParser(self)
        if not self._queue:
            return rest
        length = self._queue[-1].header(b"content-length")
        self._unread = (
            int(length) if length is not None and length.isdigit() and not self._queue[-1].body else 0
        )
        return self._take_body(rest) if self._unread else rest

    def _take_body(self, data: bytes) -> bytes:
        call = self._queue[-1]
        call.body += data[: self._unread]
        rest = data[self._unread :]
        self._unread = max(0, self._unread - len(data))
        return rest

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refused = 431

    def _refuse(self, status: int) -> None:
        reasons = {
            400: "Invalid HTTP request received.",
            413: "Request body too large",
            431: "Headers too large",
        }
        self._closing = True
        self.transport.write(self.refuse(status, reasons[status]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # what is still coming is read and dropped: closing now would reset the answer away
        asyncio.get_running_loop().call_later(_DRAIN_S, self.transport.close)
