"""Histograms as Prometheus counts them, with the bounds of vLLM's."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf

TTFT_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0,
    2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
ITL_S = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0,
    2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_S = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0,
    40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
)  # fmt: skip
COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0)
PREEMPTIONS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
STEP_TOKENS = (1.0, *(float(2**power) for power in range(3, 15)))


def token_bounds(most: int) -> tuple[float, ...]:
    """1, 2, 5, 10 … up to *most*."""
    return tuple(float(m * 10**e) for e in range(9) for m in (1, 2, 5) if m * 10**e <= most)


class Histogram:
    """Counts of values up to each bound."""

    __slots__ = ("bounds", "count", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Each bound as Prometheus writes it, and how many values are not above it."""
        total = 0
        for bound, count in zip((*self.bounds, inf), self.counts, strict=True):
            total += count
            yield "+Inf" if bound == inf else repr(float(bound)), total

    def add(self, value: float, times: int = 1) -> None:
        """Count *value* so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.count += times
        self.sum += value * times
