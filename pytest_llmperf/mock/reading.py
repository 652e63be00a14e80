"""Reading from every connection that has something to say, in one turn of the loop."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import Protocol

_READ_BYTES = 64 * 1024


class Input(Protocol):
    """The side of a connection that is read: a transport, or a `Source` in its place."""

    def is_reading(self) -> bool:
        """Whether what comes is read."""

    def pause_reading(self) -> None:
        """Leave with the system what comes."""

    def resume_reading(self) -> None:
        """Read on."""


class Reading:
    """An epoll of its own for all connections, which the loop watches as if it were one of them.

    asyncio passes each socket that is ready through its queue of callbacks, which takes longer than
    to read it. Writing, closing and all that can go wrong with them stay with asyncio's transports.
    """

    __slots__ = ("_loop", "_ready", "_sources")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sources: dict[int, Source] = {}
        self._ready = select.epoll()
        loop.add_reader(self._ready.fileno(), self._read)

    def take(self, transport: asyncio.Transport, receive: Callable[[bytes], None]) -> Input:
        """Read what comes on *transport* in its place; called when its connection is made."""
        connected = transport.get_extra_info("socket")
        if connected is None:  # it is over something else, and reads by itself
            return transport
        fd = connected.fileno()
        source = Source(transport, fd, self._ready, receive, self._sources.pop)
        self._sources[fd] = source
        self._loop.call_soon(source.begin)  # the transport begins to read by itself before that
        return source

    def close(self) -> None:
        """Read no more."""
        for source in list(self._sources.values()):
            source.end()
        self._loop.remove_reader(self._ready.fileno())
        self._ready.close()

    def _read(self) -> None:
        sources = self._sources
        for fd, _ in self._ready.poll(0):
            source = sources.get(fd)
            if source is not None:
                source.read()


class Source:
    """What one connection's client sends."""

    __slots__ = ("_ended", "_fd", "_forget", "_on", "_ready", "_receive", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        fd: int,
        ready: select.epoll,
        receive: Callable[[bytes], None],
        forget: Callable[[int], object],
    ) -> None:
        self._transport = transport
        self._fd = fd
        self._ready = ready
        self._receive = receive
        self._forget = forget
        self._on = False
        self._ended = False

    def begin(self) -> None:
        """Take over from the transport."""
        self._transport.pause_reading()
        if not self._transport.is_closing():
            self.resume_reading()

    def is_reading(self) -> bool:
        """Whether what comes is read."""
        return self._on

    def pause_reading(self) -> None:
        """Leave with the system what comes."""
        if self._on:
            self._on = False
            self._ready.unregister(self._fd)

    def resume_reading(self) -> None:
        """Read on."""
        if not self._on and not self._ended:
            self._on = True
            self._ready.register(self._fd, select.EPOLLIN)

    def read(self) -> None:
        """Pass on what has come."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.end()
            self._transport.abort()
            return
        if data:
            self._receive(data)
        else:
            self.end()
            self._transport.close()

    def end(self) -> None:
        """Nothing more is read: the client has said so, or it is gone."""
        if not self._ended:
            self.pause_reading()
            self._ended = True
            self._forget(self._fd)


def make_reading(loop: asyncio.AbstractEventLoop) -> Reading | None:
    """The quicker way to read, where the system has it; None: asyncio reads."""
    if not hasattr(select, "epoll"):
        return None
    try:
        return Reading(loop)
    except NotImplementedError:  # a loop that watches no descriptors
        return None
