"""What the mock has received: bodies, headers without secrets, times on the machine's clock."""

from __future__ import annotations

from collections import deque
from typing import Any

from pytest_llmperf.mock.call import Call
from pytest_llmperf.wire.secrets import hide_in_target, is_secret_header

_KEPT_BODY = 256 * 1024  # bytes of one body
_KEPT_BYTES = 64 * 1024 * 1024  # of all requests together


class Journal:
    """The last requests, bounded in number and in bytes."""

    __slots__ = ("_bytes", "_calls", "_size", "total")

    def __init__(self, size: int) -> None:
        self._calls: deque[Call] = deque()
        self._bytes = 0
        self._size = size
        self.total = 0  #: all that were received, also those that were dropped since

    def add(self, call: Call) -> None:
        """Keep *call*; the oldest ones make room."""
        self.total += 1
        if not self._size:
            return
        if len(call.body) > _KEPT_BODY:
            call.body = call.body[:_KEPT_BODY]
        self._calls.append(call)
        self._bytes += len(call.body) + call.head.size
        while len(self._calls) > self._size or self._bytes > _KEPT_BYTES:
            oldest = self._calls.popleft()
            self._bytes -= len(oldest.body) + oldest.head.size

    def entries(self) -> list[dict[str, Any]]:
        """The kept requests as JSON values, oldest first."""
        return [_entry(call) for call in self._calls]


def _entry(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "path": hide_in_target(call.target.decode("latin-1")),
        "headers": [_shown(name.decode("latin-1").lower(), value) for name, value in call.headers],
        "body": call.body.decode("utf-8", "replace"),
        "arrived_ns": call.arrived_ns,
        "first_byte_ns": call.first_byte_ns,
        "last_byte_ns": call.last_byte_ns,
        "status": call.status,
        "fault": call.fault.kind if call.fault is not None else "",
        "first_token_ns": call.first_token_ns,
        "done": call.done,
    }


def _shown(name: str, value: bytes) -> list[str]:
    return [name, "<redacted>" if is_secret_header(name) else value.decode("latin-1")]
