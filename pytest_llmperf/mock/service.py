"""A mock and the sockets that it listens on."""

from __future__ import annotations

import asyncio
import os
import socket

from pytest_llmperf.core.loopback import ADDRESS
from pytest_llmperf.mock.config import MockConfig
from pytest_llmperf.mock.server import Mock
from pytest_llmperf.undisturbed import spare_pauses

_BACKLOG = 4096


class Service:
    """A mock and the sockets it listens on."""

    def __init__(self, config: MockConfig, listener: socket.socket, *, token: str | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = listener
        self._server: asyncio.Server | None = None
        self._control: asyncio.Server | None = None
        self._reopening: asyncio.TimerHandle | None = None  # while connections are refused
        self._tasks: set[asyncio.Task[None]] = set()
        self.port: int = listener.getsockname()[1]
        self.mock = Mock(config, loop=self._loop, token=token, refuse=self.refuse, accept=self.accept)

    async def open(self) -> None:
        """Take connections of clients."""
        assert self._listener is not None
        listener, self._listener = self._listener, None
        self._server = await self._loop.create_server(self.mock.connection, sock=listener, backlog=_BACKLOG)
        if self._reopening is not None:  # it refuses again by now
            self._shut()

    async def open_control(self) -> int:
        """Take control from another port, which stays open while the first one refuses; which it is."""
        listener = listen(0)
        self._control = await self._loop.create_server(self.mock.control_connection, sock=listener)
        return int(listener.getsockname()[1])

    def refuse(self, for_s: float) -> None:
        """Take no connections, and reset those there are, for *for_s* seconds at least."""
        self._shut()
        self.mock.cut_clients()
        until_s = self._loop.time() + for_s
        if self._reopening is not None:
            until_s = max(until_s, self._reopening.when())
            self._reopening.cancel()
        self._reopening = self._loop.call_at(until_s, self.accept)

    def accept(self) -> None:
        """Take connections again, if none are taken."""
        if self._reopening is None or self._listener is None:
            return
        self._reopening.cancel()
        self._reopening = None
        self._listener.listen(_BACKLOG)  # at once: who was told of it may connect before the task runs
        task = self._loop.create_task(self.open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._listener = listen(self.port)  # nobody else takes the port meanwhile

    def close(self) -> None:
        """Stop everything."""
        if self._reopening is not None:
            self._reopening.cancel()
        for listening in (self._server, self._control, self._listener):
            if listening is not None:
                listening.close()
        self.mock.close()


async def serve(config: MockConfig, listener: socket.socket, *, token: str | None) -> Service:
    """The mock, listening."""
    try:
        service = Service(config, listener, token=token)
    except BaseException:
        listener.close()
        raise
    await service.open()
    spare_pauses()
    return service


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((ADDRESS, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {ADDRESS}:{port}: {error.strerror}") from error
    return listener
