"""The process that the server runs in: start, say where, and end with the parent."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.config import MockConfig, parse_config
from pytest_llmperf.mock.server import Mock

_BACKLOG = 4096
_PARENT_CHECK_S = 1.0


def run_child() -> None:
    """Serve what standard input describes in one line, until standard input ends.

    The answer is one line of JSON on standard output: ``{"port": ...}`` or ``{"error": ...}``;
    nothing is written after it. The parent holds the other end of standard input and never
    closes it, so it ends when the parent does, whatever ended it.
    """
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    try:
        config = parse_config(order["section"], where=order["where"])
        listener = listen(order["port"])
        asyncio.run(_serve_child(config, listener, token=order["token"], parent=parent))
    except (LlmPerfUsageError, OSError) as error:
        _say({"error": str(error)})


async def _serve_child(config: MockConfig, listener: socket.socket, *, token: str, parent: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read_stdin() -> None:
        if not os.read(0, 4096):
            ended.set()

    def check_parent() -> None:
        if os.getppid() != parent:  # a fork of the parent may keep the pipe open after it
            ended.set()
        else:
            loop.call_later(_PARENT_CHECK_S, check_parent)

    service = await serve(config, listener, token=token)
    control = await service.open_control()
    try:
        loop.add_reader(0, read_stdin)
    except NotImplementedError:  # Windows: a thread reads instead
        loop.run_in_executor(None, _wait_for_end, loop, ended)
    check_parent()
    _say({"port": service.port, "control": control})
    await ended.wait()
    service.close()


class Service:
    """A mock and the sockets it listens on."""

    def __init__(self, config: MockConfig, listener: socket.socket, *, token: str | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = listener
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.port: int = listener.getsockname()[1]
        self.mock = Mock(config, loop=self._loop, token=token, refuse=self.refuse)

    async def open(self) -> None:
        """Take connections of clients."""
        listener = self._listener or listen(self.port)
        self._listener = None
        self._servers.append(
            await self._loop.create_server(self.mock.connection, sock=listener, backlog=_BACKLOG)
        )

    async def open_control(self) -> int:
        """Take control from another port, which stays open while the first one refuses; which it is."""
        listener = listen(0)
        self._control = await self._loop.create_server(self.mock.control_connection, sock=listener)
        return int(listener.getsockname()[1])

    def refuse(self, for_s: float) -> None:
        """Take no connections, and reset those there are, for *for_s* seconds."""
        while self._servers:
            self._servers.pop().close()
        self.mock.cut_clients()
        self._loop.call_later(for_s, self._reopen)

    def close(self) -> None:
        """Stop everything."""
        for server in self._servers:
            server.close()
        self.mock.close()

    def _reopen(self) -> None:
        if not self._servers:
            task = self._loop.create_task(self.open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def serve(config: MockConfig, listener: socket.socket, *, token: str | None) -> Service:
    """The mock, listening."""
    service = Service(config, listener, token=token)
    await service.open()
    gc.collect()
    gc.freeze()
    gc.set_threshold(
        50_000, 20, 100
    )  # a full collection in the middle of a stream is a pause of milliseconds
    return service


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}") from error
    return listener


def _wait_for_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    loop.call_soon_threadsafe(ended.set)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # nobody reads it any more
    os.close(quiet)
