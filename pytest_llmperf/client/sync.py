"""The synchronous client, on httpx."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.blame import blame
from pytest_llmperf.client.calls import Calls, without_credentials
from pytest_llmperf.client.counting import Counter, estimate
from pytest_llmperf.client.probe import first_model
from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.recorder import Recorder
from pytest_llmperf.client.redact import safe_url
from pytest_llmperf.client.reply import Reply
from pytest_llmperf.client.schema import Check
from pytest_llmperf.client.stamping import METER, Meter, StaleConnectionError, StampingTransport
from pytest_llmperf.client.trust import trust
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
        self._transport = _transport(backend.url, opened)
        self._headers = _raw_headers(backend.url, self._calls.headers)
        limits = backend.timeouts
        # the meter's deadline rules; these serve only a transport that is not ours
        self._timeout = httpx.Timeout(limits.total_s, connect=limits.connect_s).as_dict()
        self._urls: dict[str, httpx.URL] = {}
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
        self._transport.close()

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
        while self._is_stale(request, attempt):
            attempt.restart()

    def _is_stale(self, request: Request, attempt: Attempt) -> bool:
        """Try once: whether a kept connection was of no use any more, which is no failed request."""
        meter = Meter(attempt)
        token = METER.set(meter)
        try:
            self._receive(request, attempt, meter)
        except StaleConnectionError:
            return True
        except httpx.HTTPError as error:
            if meter.reused and attempt.untouched and not isinstance(error, httpx.TimeoutException):
                return True
            blame(error, attempt, self.backend)
        finally:
            METER.reset(token)
        return False

    def _receive(self, request: Request, attempt: Attempt, meter: Meter) -> None:
        # The transport itself: httpx.Client adds cookies, redirects and hooks, which cost 0.2 ms
        # and would be wrong here. It is not closed after every request, so there is no `with`.
        sent = httpx.Request(
            "POST",
            self._url(request.url),
            headers=[*self._headers, (b"Content-Length", str(len(request.body)).encode())],
            stream=httpx.ByteStream(request.body),
            extensions={"timeout": self._timeout},
        )
        response = self._transport.handle_request(sent)
        try:
            if meter.reused and meter.read_s is None:
                raise StaleConnectionError
            head = response.headers
            attempt.head(
                response.status_code,
                head.get("content-type", ""),
                head.get("content-encoding", ""),
                meter.read_s or time.perf_counter(),
            )
            if not attempt.finished:
                self._read(response, attempt, meter)
        finally:
            response.stream.close()  # type: ignore[union-attr] # a transport's stream is synchronous

    def _url(self, url: str) -> httpx.URL:
        """*url*, parsed once."""
        if url not in self._urls:
            self._urls[url] = httpx.URL(url)
        return self._urls[url]

    def _read(self, response: httpx.Response, attempt: Attempt, meter: Meter) -> None:
        assert isinstance(response.stream, httpx.SyncByteStream)
        for data in response.stream:
            attempt.body(data, meter.read_s or time.perf_counter())
            if attempt.finished:
                return
        attempt.end(meter.read_s or time.perf_counter(), complete=True)


def _transport(url: str, opened: Callable[[SetUp], None] | None) -> httpx.HTTPTransport:
    proxy = proxy_for(url)
    if proxy is not None:
        return httpx.HTTPTransport(proxy=proxy, trust_env=False, verify=trust(url))
    return StampingTransport(trust(url) or None, opened)


def _raw_headers(url: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    host = urlsplit(without_credentials(url)).netloc
    return [(name.encode(), value.encode("latin-1")) for name, value in {"Host": host, **headers}.items()]
