"""One client's connection: requests as they come, answers in their order."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.head import Heads
from pytest_llmperf.mock.reading import Input, Reading, Source
from pytest_llmperf.mock.receiving import Receiver

_DRAIN_S = 1.0
_MAX_PIPELINED = 64  # requests waiting on one connection before it is read no further
_REASONS = {
    400: "Invalid HTTP request received.",
    413: "Request body too large",
    431: "Headers too large",
}


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_closing",
        "_current",
        "_heads",
        "_input",
        "_queue",
        "_reading",
        "_receiver",
        "_starting",
        "_writable",
        "answered",
        "on_call",
        "on_finished",
        "peers",
        "refuse",
        "transport",
    )

    transport: asyncio.Transport
    _input: Input

    def __init__(
        self,
        *,
        on_call: Callable[[Call], None],
        on_finished: Callable[[Call], None],
        refuse: Callable[[int, str], bytes],
        peers: set[Connection],
        heads: Heads,
        reading: Reading | None,
    ) -> None:
        self.on_call = on_call
        self.on_finished = on_finished
        self.refuse = refuse
        self.peers = peers
        self._heads = heads
        self._reading = reading  # None: the transport reads
        self._receiver = Receiver(lambda: self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n"))
        self._current: Call | None = None  # being answered
        self._queue: deque[Call] = deque()
        self._closing = False
        self._starting = False
        self._writable = True  # False: the client has yet to read what was written
        self.answered = 0  #: requests on this connection

    @property
    def call(self) -> Call | None:
        """What is being answered."""
        return self._current

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and read in its place if there is a quicker way."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._input = (
            transport if self._reading is None else self._reading.take(transport, self.data_received)
        )
        self.peers.add(self)

    def data_received(self, data: bytes) -> None:
        """Complete requests are answered at once or wait their turn."""
        now_ns = perf_counter_ns()
        if self._closing:
            return
        receiver = self._receiver
        alone = self._current is None and receiver.idle and not self._queue
        if alone:
            end = data.find(b"\r\n\r\n") + 4
            head = self._heads.get(data[:end])
            if head is not None and len(data) - end == head.body_bytes:
                self._current = call = Call(self, head, data[end:], now_ns)
                self.on_call(call)
                return
        whole = receiver.feed(data)
        if receiver.refused:
            self._refuse(receiver.refused)
            return
        if alone and receiver.idle and len(whole) == 1:
            self._heads.learn(data, whole[0][0])
        if whole:
            self._queue.extend(Call(self, head, body, now_ns) for head, body in whole)
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone: stop answering."""
        self.peers.discard(self)
        if isinstance(self._input, Source):
            self._input.end()
        self._closing = True
        self._abandon()

    def pause_writing(self) -> None:
        """The client reads slowly: neither take nor answer more requests of it."""
        self._writable = False
        self._input.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable = True
        if not self.transport.is_closing():
            self._start()

    # --- answering

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
            asyncio.get_running_loop().call_soon(self._start)

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

    def _start(self) -> None:
        self._starting = True
        while self._queue and self._current is None and self._writable:
            self._current = call = self._queue.popleft()
            self.on_call(call)
        self._starting = False
        if len(self._queue) > _MAX_PIPELINED:
            self._input.pause_reading()
        elif self._queue or not self._writable:
            return
        elif not self.transport.is_closing() and not self._input.is_reading():
            self._input.resume_reading()

    def _abandon(self) -> None:
        """Nothing more is answered."""
        self._queue.clear()
        call, self._current = self._current, None
        if call is not None and not call.done:
            call.done = True
            if call.on_gone is not None:
                call.on_gone()
            self.on_finished(call)

    def _refuse(self, status: int) -> None:
        self._closing = True
        begun = self._current is not None and self._current.first_byte_ns
        self._abandon()
        if begun:  # an error in the middle of an answer would be taken for a part of it
            self.transport.close()
            return
        self.transport.write(self.refuse(status, _REASONS[status]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # what is still coming is read and dropped: closing now would reset the answer away
        asyncio.get_running_loop().call_later(_DRAIN_S, self.transport.close)
