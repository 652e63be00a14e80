"""Constant arrival rate: an open loop, in which nothing waits for a slow server."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.arrival_times import Slope, times
from pytest_llmperf.load.plan import Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantArrivalRate:
    """*rate* iterations begin in every second, with equal gaps or as a Poisson process."""

    rate: float
    duration_s: float
    poisson: bool
    max_concurrency: int | None

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for."""
        assert load.rate is not None
        assert load.duration is not None
        return cls(
            rate=load.rate,
            duration_s=load.duration,
            poisson=load.arrivals == "poisson",
            max_concurrency=load.max_concurrency,
        )

    @property
    def fact(self) -> str:
        """The rate, and how even it is: the same for longer is the same load."""
        return f"{self.rate:g}/s{' poisson' if self.poisson else ''}"

    def plan(self, rng: Random) -> Arrivals:
        """Every moment at which one begins."""
        slope = Slope(length_s=self.duration_s, first=self.rate, last=self.rate)
        due = times([slope], rng if self.poisson else None)
        return Arrivals(due_s=due, until_s=self.duration_s, max_concurrency=self.max_concurrency)
