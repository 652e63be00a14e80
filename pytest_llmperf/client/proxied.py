"""The asynchronous client's way through a proxy: by httpx, which adds milliseconds and is not for load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import httpx

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.blame import blame
from pytest_llmperf.client.trust import trust
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.wire.dialect import Request


class Proxied:
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
