"""Faults that take the place of an answer: an error status, a rate limit, a refused connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.faults import Fault

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock


def played_instead(server: Mock, call: Call, fault: Fault) -> bool:
    """Whether *fault* is an answer of its own, which is then sent."""
    if fault.kind == "refuse":
        server.refuse_for(fault.for_s)
        call.cut(reset=True)
        return True
    if fault.kind not in ("status", "rate_limit"):
        return False
    extra: dict[str, str] = {}
    message, kind = fault.message or f"Injected fault: HTTP {fault.status}", "InternalServerError"
    if fault.retry_after_s is not None or fault.kind == "rate_limit":
        after_s = 1.0 if fault.retry_after_s is None else fault.retry_after_s
        extra["retry-after"] = f"{after_s:g}" if after_s >= 1 or after_s == 0 else "1"
        extra["retry-after-ms"] = f"{after_s * 1000:g}"
    if fault.kind == "rate_limit":
        message, kind = fault.message or "Rate limit reached for requests", "RateLimitError"
        extra |= {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": f"{1.0 if fault.retry_after_s is None else fault.retry_after_s:g}s",
        }
    elif fault.status < 500:
        kind = "BadRequestError"
    server.refuse(call, Refusal(status=fault.status, message=message, type=kind, shape="fault"), extra)
    return True
