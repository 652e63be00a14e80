from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.blocking import BlockingConnection
from pytest_llmperf.client.http import Connection
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend, Timeouts

CLOSE, RESET, HOLD = "close", "reset", "hold"


class Wire:
    """A server that plays scripts on raw sockets: bytes to send, seconds to pause, functions, an end.

    The n-th request gets the n-th script; the last one is repeated. Without an end the connection
    stays open for another request.
    """

    def __init__(self, scripts, context: ssl.SSLContext | None = None, *, eager=False):
        self._scripts = scripts
        self._eager = eager  #: speak before anything is asked
        self._context = context
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = threading.Event()  #: set when a client left during HOLD
        self.port = self._listener.getsockname()[1]
        self._threads[0].start()

    @property
    def url(self):
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    @property
    def bodies(self):
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.requests]

    def stop(self):
        self._stop.set()
        # wakes accept(), which a close alone does not
        socket.create_connection(("127.0.0.1", self.port)).close()
        for sock in self._sockets:
            sock.close()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self):
        while True:
            sock, _ = self._listener.accept()
            if self._stop.is_set():
                sock.close()
                return
            sock.settimeout(0.02)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            if self._context is not None:
                sock.settimeout(5)
                sock = self._context.wrap_socket(sock, server_side=True)
                sock.settimeout(0.02)
            self._sockets.append(sock)
            while (request := self._request(sock)) is not None:
                with self._lock:
                    script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
                    self.requests.append(request)
                if not self._play(sock, script):
                    break
        except OSError:
            pass
        finally:
            sock.close()

    def _request(self, sock):
        received = b""
        if self._eager:
            return received
        while not self._stop.is_set():
            head, found, body = received.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if found and len(body) >= int(length or 0):
                return received
            try:
                data = sock.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return None
            received += data
        return None

    def _play(self, sock, script):
        for step in script:
            if isinstance(step, bytes):
                sock.sendall(step)
            elif callable(step):
                step()
            elif isinstance(step, float):
                time.sleep(step)
            elif step == HOLD:
                self._hold(sock)
                return False
            elif step == RESET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            else:
                return False
        return True

    def _hold(self, sock):
        while not self._stop.is_set():
            try:
                if not sock.recv(65536):
                    self.gone.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.gone.set()
                return


@pytest.fixture
def wire() -> Iterator[Callable[..., Wire]]:
    """Starts servers that play scripts."""
    servers: list[Wire] = []

    def start(*scripts, **how):
        servers.append(Wire([list(script) for script in scripts], **how))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


class Asker:
    """The synchronous or the asynchronous client, used in the same way."""

    def __init__(self, kind, backend, **how):
        self.recording = Recording()
        self._runner = None
        if kind == "sync":
            self._client = Client(backend, self.recording, **how)
        else:
            self._runner = asyncio.Runner()
            self._client = AsyncClient(backend, self.recording, **how)

    @property
    def exchanges(self):
        return self.recording.exchanges

    @property
    def exchange(self):
        (only,) = self.exchanges
        return only

    @property
    def failure(self):
        return self.exchange.failure

    def chat(self, *args, **how):
        return self._run(self._client.chat, *args, **how)

    def complete(self, *args, **how):
        return self._run(self._client.complete, *args, **how)

    def close(self):
        if self._runner is None:
            self._client.close()
        else:
            self._runner.run(self._client.aclose())
            self._runner.close()

    def _run(self, function, *args, **how):
        if self._runner is None:
            return function(*args, **how)

        async def call():
            return await function(*args, **how)

        return self._runner.run(call())


@pytest.fixture(params=["sync", "async"])
def client(request) -> Iterator[Callable[..., Asker]]:
    """Makes a client for a URL: every test that uses it runs for both."""
    askers: list[Asker] = []

    def make(url, *, timeouts=None, kind="openai", model="m", api_key=None, **how):
        backend = Backend(
            name="b", kind=kind, url=url, model=model, api_key=api_key, timeouts=timeouts or Timeouts()
        )
        askers.append(Asker(request.param, backend, **how))
        return askers[-1]

    yield make
    for asker in askers:
        asker.close()


@pytest.fixture
def taken(monkeypatch) -> Callable[[], None]:
    """A step of a script: waits until the client has taken in what was sent so far."""
    event = threading.Event()
    read, received = BlockingConnection.read, Connection.received

    def noted(self, *args):
        came = read(self, *args)
        event.set()
        return came

    def held(self, *args):  # the asynchronous client reads a stream only when it is over
        received(self, *args)
        event.set()

    def wait():
        assert event.wait(10)
        event.clear()

    monkeypatch.setattr(BlockingConnection, "read", noted)
    monkeypatch.setattr(Connection, "received", held)
    return wait


SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(**choice) -> bytes:
    return chunk(b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, **choice}]}).encode())


def plain(body: object, status: str = "200 OK", extra: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{extra}\r\n"
    )
    return head.encode() + data


class Say:
    """Pieces of scripts."""

    CLOSE, RESET, HOLD = CLOSE, RESET, HOLD
    sse = SSE
    last = LAST
    chunk = staticmethod(chunk)
    event = staticmethod(event)
    plain = staticmethod(plain)
    role = event(delta={"role": "assistant", "content": ""})
    hello = event(delta={"content": "hello "})
    world = event(delta={"content": "world"})
    stop = event(delta={}, finish_reason="stop")
    usage = chunk(b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n')
    done = chunk(b"data: [DONE]\n\n")
    comment = chunk(b": keep-alive\n\n")
    whole = SSE + role + hello + world + stop + usage + done + LAST
    answer = {  # noqa: RUF012 - a constant
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello world"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }

    @staticmethod
    def text(text: str) -> bytes:
        """A whole stream that says *text*."""
        return SSE + event(delta={"content": text}) + Say.stop + Say.usage + Say.done + LAST


@pytest.fixture(scope="session")
def say() -> type[Say]:
    """Pieces of scripts for ``wire``."""
    return Say
