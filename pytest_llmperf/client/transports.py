"""Measuring transports: what an httpx or httpx2 client is given to be measured while it works as ever."""

from __future__ import annotations

import importlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any, Protocol, Self

from pytest_llmperf.client.causes import connect_failure
from pytest_llmperf.client.network import stamp
from pytest_llmperf.client.observation import Observation
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import FailureKind

# Any: httpx and httpx2 have the same names with types of their own, and a user may have either.

LIBRARIES = ("httpx", "httpx2")
#: Options of a client that are about its connections: a client that is given a transport ignores them.
CONNECTING = frozenset({"verify", "cert", "trust_env", "http1", "http2", "limits", "proxy"})
_MANY = 1000  #: connections, as the OpenAI SDK allows itself


class Book(Protocol):
    """Decides about each request before it leaves, and takes what became of it."""

    def open(self, request: Any, body: bytes) -> Observation | None:
        """Address *request* to where it belongs; its observation, None where it is not measured."""
        ...

    def close(self, seen: Observation) -> None:
        """It is over."""
        ...


def load(name: str) -> Any:
    """The module *name*. Raises LlmPerfUsageError."""
    if name not in LIBRARIES:
        raise LlmPerfUsageError(f"library={name!r} is none of {', '.join(LIBRARIES)}")
    try:
        return importlib.import_module(name)
    except ImportError:
        raise LlmPerfUsageError(f"library={name!r} is not installed: pip install {name}") from None


class MeasuringTransport:
    """For a synchronous client."""

    def __init__(self, name: str, book: Book, **connecting: Any) -> None:
        """*connecting*: what the library's own transport takes, see `CONNECTING`."""
        self._module = load(name)
        limits = self._module.Limits(max_connections=_MANY, max_keepalive_connections=100)
        self._inner = self._module.HTTPTransport(**{"limits": limits, **connecting})
        stamp(self._inner, asynchronous=False)
        self._book = book

    def handle_request(self, request: Any) -> Any:
        """Send *request*, and see what comes back."""
        began_s = time.perf_counter()
        seen = self._book.open(request, request.read())
        if seen is None:
            return self._inner.handle_request(request)
        seen.began_s = began_s
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            _blame(error, seen, self._book)
            raise
        clock = _noted(response, seen)
        response.stream = _streams(self._module)[0](response.stream, seen, clock, self._book)
        return response

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncMeasuringTransport:
    """For an asynchronous client."""

    def __init__(self, name: str, book: Book, **connecting: Any) -> None:
        """*connecting*: what the library's own transport takes, see `CONNECTING`."""
        self._module = load(name)
        limits = self._module.Limits(max_connections=_MANY, max_keepalive_connections=100)
        self._inner = self._module.AsyncHTTPTransport(**{"limits": limits, **connecting})
        stamp(self._inner, asynchronous=True)
        self._book = book

    async def handle_async_request(self, request: Any) -> Any:
        """Send *request*, and see what comes back."""
        began_s = time.perf_counter()
        seen = self._book.open(request, await request.aread())
        if seen is None:
            return await self._inner.handle_async_request(request)
        seen.began_s = began_s
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            _blame(error, seen, self._book)
            raise
        clock = _noted(response, seen)
        response.stream = _streams(self._module)[1](response.stream, seen, clock, self._book)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Stream:
    """A body that is seen while it is read."""

    def __init__(self, inner: Any, seen: Observation, clock: Callable[[], float], book: Book) -> None:
        self._inner = inner
        self._seen = seen
        self._clock = clock
        self._book = book

    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self._inner:
                self._seen.chunk(data, self._clock())
                yield data
        except GeneratorExit:
            raise  # the reader stopped; `close` follows
        except BaseException as error:
            _blame(error, self._seen, self._book)
            raise
        self._over(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._inner:
                self._seen.chunk(data, self._clock())
                yield data
        except GeneratorExit:
            raise  # the reader stopped; `aclose` follows
        except BaseException as error:
            _blame(error, self._seen, self._book)
            raise
        self._over(None)

    def close(self) -> None:
        """No more is wanted."""
        self._over(FailureKind.CANCELLED)
        self._inner.close()

    async def aclose(self) -> None:
        """No more is wanted."""
        self._over(FailureKind.CANCELLED)
        await self._inner.aclose()

    def _over(self, failure: FailureKind | None) -> None:
        if self._seen.done_s is None:
            at_s = self._clock() if failure is None else time.perf_counter()
            self._seen.end(at_s, failure, "" if failure is None else "the client stopped reading")
            self._book.close(self._seen)


@cache
def _streams(module: Any) -> tuple[Any, Any]:
    """The classes of streams: each library wants its own base."""
    return (
        type("MeasuredStream", (_Stream, module.SyncByteStream), {}),
        type("AsyncMeasuredStream", (_Stream, module.AsyncByteStream), {}),
    )


def _noted(response: Any, seen: Observation) -> Callable[[], float]:
    """Take the head in; gives the clock of the connection: when its last bytes arrived."""
    connection = response.extensions.get("network_stream")

    def clock() -> float:
        read_s: float | None = getattr(connection, "read_s", None)
        return time.perf_counter() if read_s is None else read_s

    # A connection of HTTP/2 is written to for other requests as well, and to acknowledge what is read.
    own = response.extensions.get("http_version") != b"HTTP/2"
    seen.sent((getattr(connection, "wrote_s", None) if own else None) or seen.began_s)
    seen.head(response.status_code, response.headers.raw, clock())
    return clock


def _blame(error: BaseException, seen: Observation, book: Book) -> None:
    """End *seen* as *error* says."""
    if seen.done_s is None:
        kind, message = _kind(error)
        seen.end(time.perf_counter(), kind, message)
        book.close(seen)


def _kind(error: BaseException) -> tuple[FailureKind, str]:
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & {"ConnectTimeout", "PoolTimeout"}:
        return FailureKind.TIMEOUT_CONNECT, "the client got no connection in its time"
    if names & {"ConnectError", "ProxyError", "UnsupportedProtocol"}:
        return connect_failure(error, "the client")
    if "TimeoutException" in names:
        return FailureKind.TIMEOUT_STALL, "the client waited no longer"
    text = str(error)
    if "RemoteProtocolError" in names and not ("disconnected" in text or "closed connection" in text):
        return FailureKind.MALFORMED, f"this is not HTTP: {text}"
    if "TransportError" in names:
        return FailureKind.CUT, ""
    return FailureKind.CANCELLED, "the client gave up"
