"""The asynchronous client, on a thin HTTP client of its own (see http.py for why)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.blame import blame_connecting
from pytest_llmperf.client.by_httpx import AsyncByHttpx
from pytest_llmperf.client.calls import Calls
from pytest_llmperf.client.counting import Counter, estimate
from pytest_llmperf.client.http import Connection, Pool
from pytest_llmperf.client.probe import first_model
from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.recorder import Recorder
from pytest_llmperf.client.redact import safe_url
from pytest_llmperf.client.reply import Reply
from pytest_llmperf.client.schema import Check
from pytest_llmperf.client.target import target_of
from pytest_llmperf.client.transfer import transfer
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.connections import SetUp
from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.wire.dialect import Call, Message, Request
from pytest_llmperf.wire.json_value import JsonObject


class AsyncClient:
    """Talks to one backend and records every request. Any number of tasks may share it."""

    def __init__(
        self,
        backend: Backend,
        recorder: Recorder,
        *,
        count: Counter = estimate,
        opened: Callable[[SetUp], None] | None = None,
    ) -> None:
        """*count*: counts what the server's usage leaves out; *opened* is told of each new connection."""
        self._count = count
        self.backend = backend
        self._calls = Calls(backend, recorder)
        self._model = backend.model
        self._pool = Pool(target_of(backend), opened)
        proxy = proxy_for(backend.url)
        self._httpx = None if proxy is None else AsyncByHttpx(backend, self._calls.headers, proxy)
        self._closing: asyncio.Task[None] | None = None

    @property
    def model(self) -> str | None:
        """The model asked; None until the first call has looked it up, if the backend names none."""
        return self._model

    @property
    def url(self) -> str:
        """The base URL, without credentials."""
        return safe_url(self.backend.url)

    async def chat(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        schema: object = None,
        tools: Sequence[JsonObject] | None = None,
        stream: bool = True,
        **params: Any,  # Any: what parameters a server takes is open
    ) -> Reply:
        """Ask and wait for the whole answer; see ``Client.chat``."""
        model = self._model or await self._look_up()
        call, check = self._calls.chat(
            model, prompt, system=system, schema=schema, tools=tools, stream=stream, params=params
        )
        return await self._run(call, check)

    async def complete(self, prompt: str, *, stream: bool = True, **params: Any) -> Reply:  # Any: as in chat
        """Let the model continue *prompt*; see ``Client.complete``."""
        model = self._model or await self._look_up()
        return await self._run(self._calls.completion(model, prompt, stream=stream, params=params), None)

    def close(self) -> None:
        """Close the idle connections; they are gone when their event loop has run once more."""
        self._pool.close()
        if self._httpx is not None:
            with suppress(RuntimeError):  # without a running loop there is nobody to close it
                self._closing = asyncio.get_running_loop().create_task(self._httpx.aclose())

    async def aclose(self) -> None:
        """Close the connections."""
        self.close()
        if self._closing is not None:
            await self._closing
        await asyncio.sleep(0)  # lets the transports close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _look_up(self) -> str:
        self._model = await asyncio.to_thread(first_model, self.backend)
        return self._model

    async def _run(self, call: Call, check: Check | None) -> Reply:
        entered_s = time.perf_counter()
        request = self._calls.request(call)
        attempt = self._calls.attempt(call, entered_s=entered_s)
        try:
            await self._send(request, attempt)
        except BaseException:
            attempt.fail(FailureKind.CANCELLED, "the caller gave up", time.perf_counter())
            self._calls.record(attempt)
            raise
        if self._count is estimate or attempt.counted:
            tokens = attempt.tokens(estimate)
        else:  # it may ask the server, which must not hold up the other tasks
            tokens = await asyncio.to_thread(attempt.tokens, self._count)
        return self._calls.settle(attempt, check, tokens)

    async def _send(self, request: Request, attempt: Attempt) -> None:
        if self._httpx is not None:
            await self._httpx.send(request, attempt)
            return
        raw = self._calls.raw(request)
        reused = self._pool.take()
        if reused is not None:
            await self._transfer(reused, raw, attempt)
            if not attempt.found_nobody:
                return
            attempt.restart()  # the server had closed the idle connection: no failed request
        connection = await self._connect(attempt)
        if connection is not None:
            await self._transfer(connection, raw, attempt)

    async def _connect(self, attempt: Attempt) -> Connection | None:
        try:
            return await self._pool.connect()
        except OSError as error:
            blame_connecting(error, attempt, self.backend)
        return None

    async def _transfer(self, connection: Connection, request: bytes, attempt: Attempt) -> None:
        """Send and receive on *connection*, which is kept if it can be, else closed."""
        kept = False
        try:
            kept = await transfer(connection, request, attempt)
        finally:
            if kept:
                self._pool.give_back(connection)
            else:
                connection.abort()
