"""What an exception means for the request under way: of httpx, or of a socket that does not connect."""

from __future__ import annotations

import time

import httpx

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.causes import connect_failure
from pytest_llmperf.client.redact import origin
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.exchange import FailureKind


def blame(error: httpx.HTTPError, attempt: Attempt, backend: Backend) -> None:
    """End *attempt* as *error* says."""
    now_s = time.perf_counter()
    match error:
        case httpx.ConnectTimeout():
            blame_connecting(TimeoutError(), attempt, backend)
        case httpx.ConnectError() | httpx.ProxyError() | httpx.UnsupportedProtocol():
            attempt.fail(*connect_failure(error, origin(backend.url)), now_s)
        case httpx.TimeoutException():
            attempt.expire(attempt.deadline(), now_s)
        case httpx.RemoteProtocolError() if _is_garbage(error):
            attempt.fail(FailureKind.MALFORMED, f"this is not HTTP: {error}", now_s)
        case _:
            attempt.end(now_s, complete=False)


def blame_connecting(error: OSError, attempt: Attempt, backend: Backend) -> None:
    """End *attempt*, for which there is no connection because of *error*."""
    where = origin(backend.url)
    if isinstance(error, TimeoutError):
        message = f"{where}: no connection within {backend.timeouts.connect_s:g} s"
        attempt.fail(FailureKind.TIMEOUT_CONNECT, message, time.perf_counter())
    else:
        attempt.fail(*connect_failure(error, where), time.perf_counter())


def _is_garbage(error: httpx.RemoteProtocolError) -> bool:
    """Whether the bytes are wrong, not merely too few."""
    text = str(error)
    return not ("disconnected" in text or "closed connection" in text or "without sending" in text)
