"""The server behind a relay, and the connections to it."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.redact import origin
from pytest_llmperf.wire.endpoint import openai_url, root_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where requests go."""

    url: str  #: with or without /v1, without credentials
    authorization: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_s: float = 5.0

    def url_of(self, target: str) -> str:
        """What *target* (path and query, below ``/v1`` or beside it) is called there."""
        path, _, query = target.partition("?")
        # one base URL serves the clients of both dialects
        path = path[3:] if path.startswith("/v1/api/") else path
        if path == "/v1" or path.startswith("/v1/"):
            url = openai_url(self.url, path[3:])
        else:
            url = root_url(self.url, path)
        if not query:
            return url
        parts = urlsplit(url)
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))


class Sink(Protocol):
    """Takes what arrives on a connection."""

    def received(self, data: bytes, at_s: float) -> None:
        """Bytes came."""
        ...

    def lost(self, error: Exception | None, at_s: float) -> None:
        """The connection ended."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """A connection to the server that stamps what arrives."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.sink: Sink | None = None
        self.usable = True  #: whether it can take another request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected; asyncio calls it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes; asyncio calls it. The stamp comes first."""
        at_s = time.perf_counter()
        if self.sink is None:
            self.abort()  # nobody asked: what follows could be taken for the next answer
        else:
            self.sink.received(data, at_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed; asyncio calls it."""
        at_s = time.perf_counter()
        self.usable = False
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.lost(exc, at_s)

    def write(self, data: bytes) -> None:
        """Send."""
        assert self.transport is not None
        self.transport.write(data)

    def abort(self) -> None:
        """Close at once; the sink is not told."""
        self.sink = None
        self.usable = False
        if self.transport is not None:
            self.transport.abort()


class Line:
    """The connections to one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.origin = origin(upstream.url)
        parts = urlsplit(upstream.url)
        self._secure = parts.scheme == "https"
        self._host, self._port = _address(parts)
        self._context = _context() if self._secure else None
        proxy = proxy_for(upstream.url)
        self._proxy = None if proxy is None else urlsplit(proxy)
        self._idle: list[UpstreamConnection] = []

    def request_line(self, method: str, target: str, version: str) -> tuple[str, list[tuple[str, str]]]:
        """The first line of the request for *target*, and the headers that belong to the way it takes."""
        url = self.upstream.url_of(target)
        parts = urlsplit(url)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        headers = [("Host", parts.netloc)]
        if self._proxy is not None and not self._secure:
            path = url
            headers += _proxy_authorization(self._proxy)
        return f"{method} {path} HTTP/{version}", headers

    def take(self) -> UpstreamConnection | None:
        """The idle connection used last, None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.transport and not connection.transport.is_closing():
                return connection
        return None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep it for the next request."""
        connection.sink = None
        self._idle.append(connection)

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises TimeoutError and OSError."""
        async with asyncio.timeout(self.upstream.connect_s):
            if self._proxy is not None:
                return await self._through(self._proxy)
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                UpstreamConnection, self._host, self._port, ssl=self._context, happy_eyeballs_delay=0.25
            )
            return connection

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    async def _through(self, proxy: SplitResult) -> UpstreamConnection:
        """A connection to the proxy, and through it for https."""
        if proxy.scheme != "http":
            raise OSError(f"the relay goes through http:// proxies only, not {proxy.scheme}://")
        loop = asyncio.get_running_loop()
        host, port = _address(proxy)
        if self._context is None:
            return (await loop.create_connection(UpstreamConnection, host, port))[1]
        transport, tunnel = await loop.create_connection(_Tunnel, host, port)
        lines = [f"CONNECT {self._host}:{self._port} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in _proxy_authorization(proxy)]
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await tunnel.opened
        connection = UpstreamConnection()
        secured = await loop.start_tls(transport, connection, self._context, server_hostname=self._host)
        assert secured is not None
        connection.connection_made(secured)
        return connection


class _Tunnel(asyncio.Protocol):
    """Waits for the proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self._received = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" not in self._received or self.opened.done():
            return
        words = self._received.split(b"\r\n", 1)[0].split(b" ")
        if len(words) > 1 and words[1].startswith(b"2"):
            self.opened.set_result(None)
        else:
            said = b" ".join(words[1:]).decode("latin-1")
            self.opened.set_exception(OSError(f"the proxy refuses: {said}"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.opened.done():
            self.opened.set_exception(OSError("the proxy closed the connection"))


def _context() -> ssl.SSLContext:
    import httpx  # noqa: PLC0415 - it takes long, and most servers under test are reached without TLS

    return httpx.create_ssl_context()


def _address(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _proxy_authorization(proxy: SplitResult) -> list[tuple[str, str]]:
    if proxy.username is None:
        return []
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [("Proxy-Authorization", "Basic " + base64.b64encode(pair.encode()).decode())]
