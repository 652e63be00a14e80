"""Requests beside what is measured: they look at a server, on connections of their own."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import httpx

from pytest_llmperf.client.calls import authorization
from pytest_llmperf.client.causes import connect_failure
from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.trust import trust
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.wire.json_value import JsonObject

_MAX_BODY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes
    server: str  #: what it calls itself


def client_for(backend: Backend) -> httpx.Client:
    """A client that shows the key of *backend* and goes through its proxy."""
    return httpx.Client(
        headers={"User-Agent": "pytest-llmperf", **authorization(backend)},
        proxy=proxy_for(backend.url),
        trust_env=False,
        verify=trust(backend.url),
    )


def ask(
    http: httpx.Client, method: str, url: str, body: JsonObject | None = None, *, until_s: float
) -> Answer:
    """The whole answer, no later than *until_s* on the clock of ``perf_counter``. Raises httpx.HTTPError."""
    content = None if body is None else json.dumps(body)
    kind = {} if body is None else {"Content-Type": "application/json"}
    timeout = max(until_s - time.perf_counter(), 0.001)
    received = b""
    with http.stream(method, url, content=content, headers=kind, timeout=timeout) as response:
        for data in response.iter_bytes():
            received += data
            # a server that drips renews httpx's timeout with every byte
            if len(received) > _MAX_BODY or time.perf_counter() > until_s:
                raise httpx.ReadTimeout("the answer does not end")
    return Answer(status=response.status_code, body=received, server=response.headers.get("server", ""))


def why_unanswered(error: httpx.HTTPError, where: str, *, within_s: float) -> str:
    """Why `ask` had no answer from *where*, in one line for people; it may hold secrets."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer from {where} within {within_s:g} s"
    return connect_failure(error, where)[1]
