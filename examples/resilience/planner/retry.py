"""Try again what may go well next time, later and later, and never all clients at once."""

from __future__ import annotations

import time

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt

FIRST_S, MOST_S, JITTER = 0.05, 0.5, 0.25
PATIENCE_S = 5.0  # a server that asks for more is not waited for so long


def is_transient(error):
    """Whether *error* may be gone next time: the network, too many requests, a server in trouble."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {408, 429} or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def back_off_s(attempt, rng):
    """Seconds to wait after the *attempt*-th failure: 50, 100, 200, 400, 500, 500 ms, each +-25 %."""
    return min(FIRST_S * 2 ** (attempt - 1), MOST_S) * rng.uniform(1 - JITTER, 1 + JITTER)


def asked_for_s(error):
    """What the server says in Retry-After; 0 when it says nothing."""
    asked = error.response.headers.get("retry-after", "") if isinstance(error, httpx.HTTPStatusError) else ""
    return min(float(asked), PATIENCE_S) if asked.isdecimal() else 0.0


def retrying(*, attempts, rng, sleep=time.sleep, on_retry=lambda _: None):
    """Calls a function up to *attempts* times; raises the last error. Other errors are not tried again."""
    return Retrying(
        stop=stop_after_attempt(attempts),
        wait=lambda state: max(back_off_s(state.attempt_number, rng), asked_for_s(state.outcome.exception())),
        retry=retry_if_exception(is_transient),
        before_sleep=on_retry,
        sleep=sleep,
        reraise=True,
    )
