"""How late this process is, seen from inside: a probe that wants to wake often and notes when it does not.

What waits while the probe is late is late too: an event loop that is busy, or a thread without the
interpreter's lock, reads bytes after they came.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from array import array
from collections.abc import Sequence

from pytest_llmperf.load.timer import Timer

#: Seconds between two looks.
EVERY_S = 0.02
#: A look later than this makes what is read meanwhile late.
LATE_S = 0.005


class Probe:
    """How late the looks were."""

    def __init__(self) -> None:
        self.lag_s = array("d")  #: of every look
        self.spans: list[tuple[float, float]] = []  #: when what was read may have waited, ascending

    def woke(self, expected_s: float, at_s: float) -> None:
        """Take in a look that was due at *expected_s*."""
        lag_s = max(0.0, at_s - expected_s)
        self.lag_s.append(lag_s)
        if lag_s > LATE_S:
            # What piled up is read right after the delay, and takes about as long as it took to pile up.
            self.spans.append((expected_s, at_s + lag_s))

    def late_among(self, at_s: Sequence[float]) -> int:
        """How many of *at_s*, which ascend, may have been read late."""
        spans = self.spans
        if not spans or not at_s or at_s[-1] < spans[0][0]:
            return 0
        count = 0
        for moment in at_s:
            index = bisect.bisect_right(spans, (moment, math.inf)) - 1
            count += index >= 0 and moment <= spans[index][1]
        return count

    async def watch_loop(self) -> None:
        """Look at the running event loop until cancelled."""
        with Timer() as timer:
            while True:
                expected_s = time.perf_counter() + EVERY_S
                await timer.until(expected_s)
                self.woke(expected_s, time.perf_counter())

    def watch_threads(self, stopped: threading.Event) -> None:
        """Look from a thread of its own until *stopped*."""
        while True:
            expected_s = time.perf_counter() + EVERY_S
            if stopped.wait(EVERY_S):
                return
            self.woke(expected_s, time.perf_counter())
