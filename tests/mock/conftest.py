from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from pytest_llmperf.mock.process import MockServer, start_mock

FAST = {"latency": {"ttft": "0", "itl": "0"}}


@dataclass
class Answer:
    """A raw HTTP answer, taken apart."""

    raw: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __post_init__(self):
        head, _, body = self.raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if first else 0
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.body = unchunk(body) if self.headers.get("transfer-encoding") == "chunked" else body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """The payloads of server-sent events, parsed, `[DONE]` as that text."""
        payloads = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def unchunk(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        out += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return out


def raw_exchange(server: MockServer, data: bytes, *, timeout: float = 30.0) -> bytes:
    """What comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as connection:
        connection.sendall(data)
        return read(connection)


def read(connection: socket.socket) -> bytes:
    out = b""
    while part := connection.recv(65536):
        out += part
    return out


def ask(
    server: MockServer, path: str, body: object = None, *, method: str | None = None, **headers: str
) -> Answer:
    return Answer(raw_exchange(server, written(path, body, method=method, **headers)))


def written(path: str, body: object = None, *, method: str | None = None, **headers: str) -> bytes:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    if body is not None and "content_type" not in headers:
        more += "content-type: application/json\r\n"
    head = f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}"  # noqa: E501
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


def chat(server: MockServer, text: str = "merhaba", **params: object) -> Answer:
    return ask(server, "/v1/chat/completions", chat_body(text, **params))


def chat_body(text: str = "merhaba", **params: object) -> dict[str, object]:
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **params}


def together(server: MockServer, count: int, text: str = "merhaba", **params: object) -> list[Answer]:
    data = written("/v1/chat/completions", chat_body(text, **params))
    with ExitStack() as opened:
        address = ("127.0.0.1", server.port)
        connections = [
            opened.enter_context(socket.create_connection(address, timeout=30)) for _ in range(count)
        ]
        for connection in connections:
            connection.sendall(data)
        return [Answer(read(connection)) for connection in connections]


@pytest.fixture(name="ask", scope="session")
def _ask():
    """Send one request on a connection of its own: ``ask(server, path, body)``."""
    return ask


@pytest.fixture(name="chat", scope="session")
def _chat():
    """Send one chat request: ``chat(server, text, **params)``."""
    return chat


@pytest.fixture(name="together", scope="session")
def _together():
    """Send a chat request so many times at once: ``together(server, count, text, **params)``.

    Not from threads: a busy machine lets one of them begin when the others have their answer.
    """
    return together


@pytest.fixture(name="raw_exchange", scope="session")
def _raw_exchange():
    """Send bytes, get what comes back until the server closes."""
    return raw_exchange


@pytest.fixture(scope="module")
def _shared_mock() -> Iterator[MockServer]:
    with start_mock({**FAST, "models": ["tiny"], "max_model_len": 1024}) as server:
        yield server


@pytest.fixture
def mock(_shared_mock) -> MockServer:
    """A server without delays, as new for every test."""
    _shared_mock.reset()
    return _shared_mock


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., MockServer]]:
    """Start a server that the module shares: one for each configuration, as new each time."""
    servers: dict[str, MockServer] = {}

    def start(**section: object) -> MockServer:
        section = {**FAST, **section}
        key = json.dumps(section)
        if key not in servers:
            servers[key] = start_mock(section)
        servers[key].reset()
        return servers[key]

    yield start
    for server in servers.values():
        server.stop()
