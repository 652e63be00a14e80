"""How the requests of the last seconds fared, which ``abort_on`` looks at."""

from __future__ import annotations

import math
from collections import deque

from pytest_llmperf.core.load import AbortOn
from pytest_llmperf.core.quantity import show

#: Seconds that are looked back on, requests that there must be, and that are kept at most.
_WINDOW_S, _FEWEST, _MOST = 10.0, 20, 1000


class Lately:
    """The last requests that ended; from any thread."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def add(self, done_s: float, latency_s: float) -> None:
        """One request ended at *done_s*; *latency_s* is NaN if it failed."""
        self._ended.append((done_s, latency_s))

    def drain(self) -> list[float | None]:
        """The latencies of all that ended since the last call, for someone else's `add`; None: failed."""
        ended = [self._ended.popleft()[1] for _ in range(len(self._ended))]
        return [None if math.isnan(latency_s) else latency_s for latency_s in ended]

    def reason(self, limits: AbortOn, now_s: float) -> str | None:
        """Why the run should end by *limits*; None when it may go on, or too little is known."""
        if limits.error_rate is None and limits.p95_s is None:
            return None
        latencies = [latency_s for done_s, latency_s in self._ended.copy() if done_s > now_s - _WINDOW_S]
        if len(latencies) < _FEWEST:
            return None
        succeeded = sorted(latency_s for latency_s in latencies if not math.isnan(latency_s))
        failed = 1 - len(succeeded) / len(latencies)
        if limits.error_rate is not None and failed > limits.error_rate:
            most = show(limits.error_rate, "")
            return f"{show(failed, '')} of the last {len(latencies)} requests failed, more than {most}"
        p95_s = succeeded[math.ceil(0.95 * len(succeeded)) - 1] if succeeded else 0.0
        if limits.p95_s is not None and p95_s > limits.p95_s:
            p95, most = show(p95_s, "s"), show(limits.p95_s, "s")
            return f"p95 of the last {len(latencies)} requests is {p95}, more than {most}"
        return None
