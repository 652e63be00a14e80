"""The synchronous client, on connections that block (see blocking.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.blame import blame_connecting
from pytest_llmperf.client.blocking import BlockingConnection, BlockingPool
from pytest_llmperf.client.by_httpx import ByHttpx, NobodyStandsInError, is_replaced
from pytest_llmperf.client.calls import Calls
from pytest_llmperf.client.counting import Counter, estimate
from pytest_llmperf.client.probe import first_model
from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.recorder import Recorder
from pytest_llmperf.client.redact import safe_url
from pytest_llmperf.client.reply import Reply
from pytest_llmperf.client.schema import Check
from pytest_llmperf.client.target import target_of
from pytest_llmperf.client.transfer import transfer_blocking
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.connections import SetUp
from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.wire.dialect import Call, Message, Request
from pytest_llmperf.wire.json_value import JsonObject


class Client:
    """Talks to one backend and records every request. Threads may share it."""

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
        self._pool = BlockingPool(target_of(backend), opened)
        self._proxy = proxy_for(backend.url)
        self._httpx: ByHttpx | None = None
        self._model = backend.model

    @property
    def model(self) -> str:
        """The model asked: the backend's, else the first that the server lists. Raises Unreachable."""
        if self._model is None:
            self._model = first_model(self.backend)
        return self._model

    @property
    def url(self) -> str:
        """The base URL, without credentials."""
        return safe_url(self.backend.url)

    def chat(
        self,
        prompt: str | Sequence[Message],
        *,
        system: str | None = None,
        schema: object = None,
        tools: Sequence[JsonObject] | None = None,
        stream: bool = True,
        **params: Any,  # Any: what parameters a server takes is open
    ) -> Reply:
        """Ask and wait for the whole answer.

        *prompt* is a text or a list of messages; *schema* a JSON Schema (a dict or a pydantic
        model) that the reply must match; *params* go to the server as they are, None leaves one
        out. Raises RequestFailed, recorded, and LlmPerfUsageError.
        """
        call, check = self._calls.chat(
            self.model, prompt, system=system, schema=schema, tools=tools, stream=stream, params=params
        )
        return self._run(call, check)

    def complete(self, prompt: str, *, stream: bool = True, **params: Any) -> Reply:  # Any: as in chat
        """Let the model continue *prompt*. Raises RequestFailed and LlmPerfUsageError."""
        return self._run(self._calls.completion(self.model, prompt, stream=stream, params=params), None)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()
        if self._httpx is not None:
            self._httpx.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: Call, check: Check | None) -> Reply:
        entered_s = time.perf_counter()
        request = self._calls.request(call)
        attempt = self._calls.attempt(call, entered_s=entered_s)
        try:
            self._send(request, attempt)
        except BaseException:
            attempt.fail(FailureKind.CANCELLED, "the caller gave up", time.perf_counter())
            self._calls.record(attempt)
            raise
        return self._calls.settle(attempt, check, attempt.tokens(self._count))

    def _send(self, request: Request, attempt: Attempt) -> None:
        if self._proxy is not None or is_replaced():
            with suppress(NobodyStandsInError):
                self._by_httpx().send(request, attempt)
                return
        self._send_directly(self._calls.raw(request), attempt)

    def _send_directly(self, request: bytes, attempt: Attempt) -> None:
        reused = self._pool.take()
        if reused is not None:
            self._transfer(reused, request, attempt)
            if not attempt.found_nobody:
                return
            attempt.restart()  # the server had closed the idle connection: no failed request
        connection = self._connect(attempt)
        if connection is not None:
            self._transfer(connection, request, attempt)

    def _connect(self, attempt: Attempt) -> BlockingConnection | None:
        try:
            return self._pool.connect()
        except OSError as error:
            blame_connecting(error, attempt, self.backend)
        return None

    def _transfer(self, connection: BlockingConnection, request: bytes, attempt: Attempt) -> None:
        """Send and receive on *connection*, which is kept if it can be, else closed."""
        kept = False
        try:
            kept = transfer_blocking(connection, request, attempt)
        finally:
            if kept:
                self._pool.give_back(connection)
            else:
                connection.close()

    def _by_httpx(self) -> ByHttpx:
        if self._httpx is None:
            self._httpx = ByHttpx(self.backend, self._calls.headers, self._proxy)
        return self._httpx
