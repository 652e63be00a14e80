from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field

import pytest

from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.relay.server import Relay, Route
from pytest_llmperf.relay.upstream import Upstream
from pytest_llmperf.relay.watch import Headers, RelayedRequest

RESET = "reset"


class Upstreamer:
    """A server that answers each request, in the order of the connections, with the next script.

    A script is bytes to send, functions to call, and RESET; after it the connection stays open if the
    script ends with True, else it is closed.
    """

    def __init__(self, *scripts):
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.requests: list[bytes] = []
        self.connections = 0
        self.left = threading.Event()  #: a client closed
        self._sockets = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self):
        for sock in [*self._sockets, self._listener]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
            self._threads[-1].start()

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            while (request := receive(sock)) is not None:
                self.requests.append(request)
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                for step in script:
                    if isinstance(step, bytes):
                        sock.sendall(step)
                    elif step == RESET:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    elif callable(step):
                        step()
                if script[-1] is not True:
                    break
            else:
                self.left.set()
        sock.close()


def receive(sock):
    """One request, None at the end."""
    received = b""
    while True:
        head, found, body = received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if found and len(body) >= int(length or 0):
            return received
        data = sock.recv(1 << 16)
        if not data:
            return None
        received += data


@dataclass
class Seen:
    """A watch that keeps what it is told."""

    request: RelayedRequest
    sent_s: list[float] = field(default_factory=list)
    status: int | None = None
    headers: Headers = ()
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    ended: list[tuple[FailureKind | None, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def sent(self, at_s):
        self.sent_s.append(at_s)

    def head(self, status, headers, at_s):  # noqa: ARG002
        self.status, self.headers = status, headers

    def chunk(self, data, at_s):
        self.chunks.append((at_s, data))

    def end(self, at_s, failure, message):  # noqa: ARG002
        self.ended.append((failure, message))
        self.over.set()

    @property
    def body(self):
        return b"".join(data for _, data in self.chunks)

    @property
    def failure(self):
        assert self.over.wait(5), "it has not ended"
        assert len(self.ended) == 1
        return self.ended[0][0]


class Running:
    """A relay on a thread of its own."""

    def __init__(self, url, *, authorization=None, placeholder=None):
        self.seen: list[Seen] = []
        self._upstream = Upstream(url=url, authorization=authorization or {}, connect_s=2)
        self._placeholder = placeholder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(5)

    async def _open(self):
        def route(target):
            tag, slash, rest = target.removeprefix("/").partition("/")
            return Route(upstream="it", target=slash + rest, tag=tag) if tag == "mine" else None

        def observe(request):
            self.seen.append(Seen(request))
            return self.seen[-1]

        self._relay = Relay({"it": self._upstream}, route, observe, placeholder=self._placeholder)
        return await self._relay.open()

    def close(self):
        async def close():
            self._relay.close()
            await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def send(self, data: bytes) -> bytes:
        """What comes back until the relay closes. Raises ConnectionResetError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
            sock.sendall(data)
            out = b""
            while part := sock.recv(1 << 16):
                out += part
            return out

    def ask(self, target="/mine/v1/chat/completions", body=b"{}", *headers: str) -> bytes:
        lines = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
        return self.send("\r\n".join([*lines, "Connection: close"]).encode() + b"\r\n\r\n" + body)


@pytest.fixture
def upstream():
    """Start scripted servers: ``upstream([b"HTTP/1.1 ...", True])``."""
    started = []

    def start(*scripts):
        started.append(Upstreamer(*scripts))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def relay():
    """Start relays: ``relay(url)``; requests go to ``/mine/...``."""
    started = []

    def start(url, **options):
        started.append(Running(url, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()
