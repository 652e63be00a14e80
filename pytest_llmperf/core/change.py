"""How far a quantity has moved since before, and whether the samples show it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pytest_llmperf.core.decision import ASSUMED, FEWEST_RUNS

#: Standard errors on either side within which a difference may be chance: several quantities are looked at.
_CERTAIN: Final = 3.0
#: A smaller change is not worth a word ...
_WORTH_SAYING: Final = 0.05
#: ... and a quantity counts as unchanged only where all that is likely lies within this.
_UNCHANGED: Final = 0.10
#: Neighbouring requests resemble each other: blocks of them are the units whose spread is looked at.
_BLOCKS, _FEWEST_BLOCKS, _LEAST_IN_BLOCK = 10, 5, 3

Statistic = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One quantity before and now, with the standard error of the difference."""

    before: float
    now: float
    error: float

    @property
    def difference(self) -> float:
        """In the quantity's unit."""
        return self.now - self.before

    @property
    def moved(self) -> bool:
        """Whether the samples show a change that is worth a word."""
        size = abs(self.difference)
        return size > _CERTAIN * self.error and size >= _WORTH_SAYING * abs(self.before)

    @property
    def steady(self) -> bool:
        """Whether the samples rule out all but a small change. Neither moved nor steady: not clear."""
        return abs(self.difference) + _CERTAIN * self.error <= _UNCHANGED * abs(self.before)

    def __str__(self) -> str:
        """``+31 %``; where there was nothing before there is no percentage."""
        return f"{round(100 * self.difference / self.before):+d} %" if self.before else "new"


def change(
    now: Sequence[float],
    before: Sequence[Sequence[float]],
    *,
    machine: bool,
    of: Statistic = statistics.fmean,
) -> Change | None:
    """How *of* the values *now* differs from the runs *before*, oldest first; None for too few values.

    *machine*: whether the quantity depends on the machine's mood, as times do and token counts do
    not; not so for arms that were interleaved.
    """
    current = _estimate(now, of)
    stored = [estimate for run in before if (estimate := _estimate(run, of)) is not None]
    if current is None or not stored:
        return None
    means = [mean for mean, _ in stored]
    mean, within = statistics.fmean(means), statistics.fmean(variance for _, variance in stored)
    if len(means) >= FEWEST_RUNS:
        between = max(0.0, statistics.variance(means) - within)
    else:
        between = (ASSUMED * mean) ** 2 if machine else 0.0
    variance = current[1] + between + (within + between) / len(means)
    return Change(before=mean, now=current[0], error=variance**0.5)


def _estimate(values: Sequence[float], of: Statistic) -> tuple[float, float] | None:
    """*of* the values, and its variance by the spread between blocks of them in time order."""
    count = min(_BLOCKS, len(values) // _LEAST_IN_BLOCK)
    if count < _FEWEST_BLOCKS:
        return None
    edges = [index * len(values) // count for index in range(count + 1)]
    blocks = [of(values[start:end]) for start, end in pairwise(edges)]
    return of(values), statistics.variance(blocks) / count
