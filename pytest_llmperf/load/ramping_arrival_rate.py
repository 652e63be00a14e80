"""Ramping arrival rate: an open loop whose rate moves evenly from stage to stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.arrival_times import Slope, times
from pytest_llmperf.load.plan import Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class RampingArrivalRate:
    """Each stage takes the rate evenly from where it is, at first 0, to its own."""

    stages: tuple[tuple[float, float], ...]
    poisson: bool
    max_concurrency: int | None

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for."""
        return cls(
            stages=load.stages, poisson=load.arrivals == "poisson", max_concurrency=load.max_concurrency
        )

    @property
    def fact(self) -> str:
        """Every stage."""
        stages = ", ".join(f"{seconds:g} s to {rate:g}/s" for seconds, rate in self.stages)
        return f"{stages}{' poisson' if self.poisson else ''}"

    def plan(self, rng: Random) -> Arrivals:
        """Every moment at which one begins."""
        due = times(self._slopes(), rng if self.poisson else None)
        total_s = sum(seconds for seconds, _ in self.stages)
        return Arrivals(due_s=due, until_s=total_s, max_concurrency=self.max_concurrency)

    def _slopes(self) -> Iterator[Slope]:
        rate = 0.0
        for seconds, target in self.stages:
            yield Slope(length_s=seconds, first=rate, last=target)
            rate = target
