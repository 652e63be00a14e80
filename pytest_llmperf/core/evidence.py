"""Two samples under one test: its p-values, its interval, and what it could still see."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtri

from pytest_llmperf.core import paired, permutation
from pytest_llmperf.core.decision import BEYOND, FINE, TAIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_HALVINGS: Final = 20  #: of an interval's end: a millionth of the search range
_MOST: Final = 100  #: times as many samples as there are: beyond this, nobody will take them


def z(p: float) -> float:
    """The normal quantile that is exceeded with probability *p*."""
    return -float(ndtri(p))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Current and baseline samples on the logarithmic scale, and how far noise alone separates them."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    q: float
    beyond_chance: float = 0.0  #: standard deviation of what separates them beyond chance
    in_pairs: bool = False  #: x[i] and y[i] are interleaved arms: labels swap within pairs

    def worse(self, shift: float) -> float:
        """p-value for "the ratio is at most exp(*shift*)"."""
        return self._p(self.x, self.y, shift)

    def better(self, shift: float) -> float:
        """p-value for "the ratio is at least exp(*shift*)"."""
        return self._p(self.y, self.x, -shift)

    def no_slower(self) -> float:
        """p-value for "current is no slower"; in pairs, the pairs' own ratios are asked too."""
        if self.in_pairs:
            return paired.no_slower(self.x, self.y, q=self.q)
        return self.worse(0.0)

    def no_faster(self) -> float:
        """The same with the arms swapped."""
        return replace(self, x=self.y, y=self.x).no_slower()

    def _p(self, x: NDArray[np.float64], y: NDArray[np.float64], shift: float) -> float:
        if self.in_pairs:
            return paired.p_value(x, y, q=self.q, shift=shift)
        rows = permutation.p_values(x[None, :], y[None, :], q=self.q, shift=shift, noise=self.beyond_chance)
        return float(rows[0])

    def interval(self) -> tuple[float, float]:
        """95 % interval of the ratio: every ratio that neither one-sided test rejects."""
        apart = max(self.x.max(), self.y.max()) - min(self.x.min(), self.y.min())
        wide = float(apart) + 10 * self.beyond_chance + 0.01
        low = math.exp(_edge(-wide, wide, self.worse)) if self.worse(-wide) <= TAIL else 0.0
        high = math.exp(_edge(wide, -wide, self.better)) if self.better(wide) <= TAIL else math.inf
        return low, high


def _edge(rejected: float, kept: float, p: Callable[[float], float]) -> float:
    """The shift between *rejected* and *kept* at which *p* comes out of the tail."""
    for _ in range(_HALVINGS):
        middle = (rejected + kept) / 2
        if p(middle) <= TAIL:
            rejected = middle
        else:
            kept = middle
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far the test could see: variances of the log ratio, and the levels it must meet."""

    n: int  #: current samples
    falling: float  #: variance that falls as current samples grow
    base: float  #: variance that only a larger baseline would lessen
    lasting: float  #: variance that no samples of these runs lessen: the run effect
    alpha: float  #: chance of a false alarm, all looks together
    looks: tuple[int, ...]
    margin: float  #: logarithm of the ratio that is allowed
    twice: float  #: logarithm of the ratio that "passed" rules out

    def error(self, n: float) -> float:
        """Standard error of the log ratio with *n* current samples."""
        return math.sqrt(self.lasting + self.base + self.falling * self.n / n)

    def _share(self, n: float) -> float:
        """What a look at *n* samples may spend."""
        return min(n, self.looks[-1]) / sum(self.looks)

    def _proof(self, error: float, n: float) -> float:
        """Log ratio that must be observed for a regression to be proven."""
        return max(z(self.alpha * self._share(n)) * error, self.margin + z(BEYOND) * error)

    def smallest_seen(self, n: float) -> float:
        """The regression (0.21: +21 %) that *n* current samples prove 95 times in 100."""
        error = self.error(n)
        return math.expm1(self._proof(error, n) + z(FINE) * error)

    def blind(self) -> float | None:
        """The smallest regression ever seen, when run noise would not even let equal code pass."""
        error = math.sqrt(self.lasting)
        if self.twice >= z(FINE) * error:
            return None
        return math.expm1(self._proof(error, self.looks[-1]) + z(FINE) * error)

    def more(self, seen: float) -> int | None:
        """Samples still missing if the log ratio *seen* is the truth; None when no number would do."""
        for factor in np.geomspace(1.1, _MOST, 64):
            n = self.n * float(factor)
            error = self.error(n)
            fine = seen <= self.margin and self.twice - seen >= z(FINE * self._share(n)) * error
            if fine or seen >= self._proof(error, n):
                return 10 * math.ceil((n - self.n) / 10)
        return None
