"""Sending an answer's parts when their tokens are due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

from pytest_llmperf.mock.http import Call
from pytest_llmperf.mock.timers import Timers

Gaps = int | Sequence[int]  #: nanoseconds between steps: one for all, or one each


def chunked(frame: bytes) -> bytes:
    """*frame* as one chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(frame), frame)


LAST_CHUNK = b"0\r\n\r\n"


class Delivery:
    """One answer on its way: ``parts[step]`` leaves when that step of the engine is done.

    A deadline is the one before plus the gap, never "now plus the gap": lateness does not add up.
    """

    __slots__ = ("_at", "_call", "_gaps", "_on_done", "_parts", "_timers")

    def __init__(
        self, call: Call, parts: list[bytes], gaps: Gaps, *, timers: Timers, on_done: Callable[[Call], None]
    ) -> None:
        self._call = call
        self._parts = parts
        self._gaps = gaps
        self._timers = timers
        self._on_done = on_done
        self._at = 0

    def start(self, first_ns: int) -> None:
        """Send the first part at *first_ns*, the others after it."""
        if first_ns <= perf_counter_ns():
            self._due(first_ns)
        else:
            self._timers.at(first_ns, self._due)

    def _due(self, deadline_ns: int) -> None:
        call = self._call
        if call.done:
            return
        parts, gaps, at = self._parts, self._gaps, self._at
        last = len(parts) - 1
        data = parts[at]
        while at < last:
            deadline_ns += gaps if isinstance(gaps, int) else gaps[at]
            at += 1
            if deadline_ns > perf_counter_ns():
                self._at = at
                self._timers.at(deadline_ns, self._due)
                if data:
                    call.write(data)
                return
            data += parts[at]
        self._on_done(call)
        call.end(data)
