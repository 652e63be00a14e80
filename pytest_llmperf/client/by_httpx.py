"""The clients' way through a proxy, and to what stands in for a server in httpx: not for load.

httpx adds milliseconds of its own, pieces are stamped when it hands them out, and a server that drips is
noticed late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import httpcore
import httpx

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.blame import blame
from pytest_llmperf.client.trust import trust
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.wire.dialect import Request


class AsyncByHttpx:
    """Carries requests through *proxy*."""

    def __init__(self, backend: Backend, headers: Mapping[str, str], proxy: str) -> None:
        self._backend = backend
        limits = backend.timeouts
        self._http = httpx.AsyncClient(
            headers=headers,
            proxy=proxy,
            trust_env=False,
            verify=trust(backend.url),
            timeout=httpx.Timeout(limits.total_s, connect=limits.connect_s),
            limits=httpx.Limits(max_connections=None),
        )

    async def send(self, request: Request, attempt: Attempt) -> None:
        """Send *request* and tell *attempt* what comes back."""
        attempt.sending(time.perf_counter())
        try:
            await self._receive(request, attempt)
        except httpx.HTTPError as error:
            blame(error, attempt, self._backend)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _receive(self, request: Request, attempt: Attempt) -> None:
        sent = self._http.build_request("POST", request.url, content=request.body)
        deadline = attempt.deadline()
        try:
            # the head as well as every piece has to come in time
            async with asyncio.timeout(deadline.at_s - time.perf_counter()) as limit:
                response = await self._http.send(sent, stream=True)
                try:
                    head = response.headers
                    attempt.head(
                        response.status_code,
                        head.get("content-type", ""),
                        head.get("content-encoding", ""),
                        time.perf_counter(),
                    )
                    async for data in response.aiter_raw():
                        attempt.body(data, time.perf_counter())
                        if attempt.finished:
                            break
                        deadline = attempt.deadline()
                        remaining_s = deadline.at_s - time.perf_counter()
                        limit.reschedule(asyncio.get_running_loop().time() + remaining_s)
                finally:
                    await response.aclose()
        except TimeoutError:
            attempt.expire(deadline, time.perf_counter())
        else:
            attempt.end(time.perf_counter(), complete=True)


class NobodyStandsInError(Exception):
    """What stands in for servers lets the request through to the real one."""


class ByHttpx:
    """Carries requests through *proxy*, or to what stands in for the server. Threads may share it."""

    def __init__(self, backend: Backend, headers: Mapping[str, str], proxy: str | None) -> None:
        self._backend = backend
        self._headers = headers
        self._transport = httpx.HTTPTransport(proxy=proxy, trust_env=False, verify=trust(backend.url))
        if proxy is None:
            # HTTPTransport does not take a network backend, its pool does
            self._transport._pool = httpcore.ConnectionPool(network_backend=_NoNetwork())  # noqa: SLF001
        limits = backend.timeouts
        self._timeout = httpx.Timeout(limits.total_s, connect=limits.connect_s).as_dict()

    def send(self, request: Request, attempt: Attempt) -> None:
        """Send *request* and tell *attempt* what comes back. Raises NobodyStandsInError without a proxy."""
        attempt.sending(time.perf_counter())
        try:
            self._receive(request, attempt)
        except httpx.HTTPError as error:
            blame(error, attempt, self._backend)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _receive(self, request: Request, attempt: Attempt) -> None:
        # the transport itself: httpx.Client adds cookies, redirects and hooks, which would be wrong here
        response = self._transport.handle_request(
            httpx.Request(
                "POST",
                request.url,
                headers=self._headers,
                content=request.body,
                extensions={"timeout": self._timeout},
            )
        )
        assert isinstance(response.stream, httpx.SyncByteStream)
        try:
            kind, encoding = (response.headers.get(name, "") for name in ("content-type", "content-encoding"))
            attempt.head(response.status_code, kind, encoding, time.perf_counter())
            for data in response.stream:
                attempt.body(data, time.perf_counter())
                if attempt.finished:
                    break
        finally:
            response.stream.close()
        attempt.end(time.perf_counter(), complete=True)


class _NoNetwork(httpcore.NetworkBackend):
    """Connects to nothing."""

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.NetworkStream:
        """What httpcore asks for when nobody has answered in its place."""
        raise NobodyStandsInError(f"{host}:{port}")


def is_replaced() -> bool:
    """Whether something stands in for httpx's way to a server, as respx and pytest-httpx do in tests."""
    return _ways() != _WAYS


def _ways() -> tuple[object, object]:
    return httpx.HTTPTransport.handle_request, httpcore.ConnectionPool.handle_request


_WAYS = _ways()
