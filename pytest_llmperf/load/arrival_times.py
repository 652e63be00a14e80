"""When iterations begin under a rate that is constant or moves evenly."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A stretch of time in which the rate moves evenly; rates are per second."""

    length_s: float
    first: float
    last: float

    @property
    def arrivals(self) -> float:
        """How many arrivals are expected in it."""
        return self.length_s * (self.first + self.last) / 2

    def moment_s(self, arrivals: float) -> float:
        """When so many are expected to have come, from the start of the stretch."""
        steepness = (self.last - self.first) / self.length_s
        root = math.sqrt(max(self.first**2 + 2 * steepness * arrivals, 0.0))
        # Written so that a steepness near zero does not divide by it.
        return min(2 * arrivals / (self.first + root), self.length_s) if arrivals else 0.0


def times(slopes: Iterable[Slope], rng: Random | None) -> array[float]:
    """Every arrival in *slopes*, in seconds from their start.

    Without *rng* the i-th comes when i - 1/2 are expected: N expected arrivals are N, rounded. With it
    they are a Poisson process of the same rate, by mapping one of rate 1.
    """
    marks = _even() if rng is None else _random(rng)
    due = array("d")
    start_s = before = 0.0
    mark = next(marks)
    for slope in slopes:
        while mark - before <= slope.arrivals:
            due.append(start_s + slope.moment_s(mark - before))
            mark = next(marks)
        start_s += slope.length_s
        before += slope.arrivals
    return due


def _even() -> Iterator[float]:
    number = 0
    while True:
        yield number + 0.5
        number += 1


def _random(rng: Random) -> Iterator[float]:
    at = 0.0
    while True:
        at += rng.expovariate(1.0)
        yield at
