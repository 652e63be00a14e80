"""The exact permutation test of one quantile in two samples, without a random number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import gammaln, ndtr

from pytest_llmperf.core.quantile import rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIE: Final = 1e-12  #: differences of logarithms below this are rounding
_NEGLIGIBLE: Final = (
    1e-10  #: a pair of ranks less probable than this is left out, and its probability added to p
)
_CELLS: Final = 1 << 19  #: numbers in one block of work: what a cache holds
_LAW_CELLS: Final = 1 << 16  #: the same where a number takes a dozen others to work out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Law:
    """Where the two order statistics fall in the pooled sample when the labels mean nothing."""

    x_rank: NDArray[np.intp]  #: rank of x_(k) from 0, for each probable pair of ranks
    y_rank: NDArray[np.intp]
    probability: NDArray[np.float64]
    rest: float  #: probability that was left out


def log_choose(n: NDArray[np.float64] | float, k: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Logarithm of the binomial coefficient, minus infinity outside 0 <= k <= n."""
    n, k = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64))
    inside = (k >= 0) & (k <= n)
    n, k = np.where(inside, n, 0.0), np.where(inside, k, 0.0)
    return np.where(inside, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), -np.inf)


@lru_cache(maxsize=64)
def _law(n: int, m: int, k: int, l: int) -> _Law:  # noqa: E741  k and l are the ranks in x and in y
    total = n + m
    whole = log_choose(total, n)

    def probable(of: int, kth: int) -> NDArray[np.float64]:
        found = []
        for start in range(1, total + 1, _LAW_CELLS):
            ranks = np.arange(start, min(start + _LAW_CELLS, total + 1), dtype=np.float64)
            mass = np.exp(log_choose(ranks - 1, kth - 1) + log_choose(total - ranks, of - kth) - whole)
            found.append(ranks[mass > _NEGLIGIBLE])
        return np.concatenate(found)

    rows, s = probable(n, k)[:, None], probable(m, l)[None, :]
    kept: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    step = max(1, _LAW_CELLS // s.size)
    for start in range(0, rows.size, step):
        r = rows[start : start + step]
        x_first = (
            log_choose(r - 1, k - 1) + log_choose(s - r - 1, l - (r - k) - 1) + log_choose(total - s, m - l)
        )
        y_first = (
            log_choose(s - 1, l - 1) + log_choose(r - s - 1, k - (s - l) - 1) + log_choose(total - r, n - k)
        )
        mass = np.exp(np.where(r < s, x_first, np.where(s < r, y_first, -np.inf)) - whole)
        x_index, y_index = np.nonzero(mass > _NEGLIGIBLE)
        kept.append(
            (
                r[x_index, 0].astype(np.intp) - 1,
                s[0, y_index].astype(np.intp) - 1,
                mass[x_index, y_index],
            )
        )
    x_rank, y_rank, probability = map(np.concatenate, zip(*kept, strict=True))
    return _Law(
        x_rank=x_rank,
        y_rank=y_rank,
        probability=probability,
        rest=max(0.0, 1.0 - float(probability.sum())),
    )


def p_values(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    q: float,
    shift: float = 0.0,
    noise: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.float64]:
    """One p-value per row for "the *q* quantile of x exceeds that of y by no more than *shift*".

    The rows of x (gates x n) and y (gates x m) are logarithms of times, so *shift* is the
    logarithm of a ratio. Every way to deal the pooled values to the two samples counts, by its
    exact probability: with ranks r of x_(k) and s of y_(l), C(r-1, k-1) C(s-r-1, l-(r-k)-1)
    C(N-s, m-l) of the C(N, n) deals when r < s, and the mirror image when s < r. *noise* is the
    standard deviation of what separates the two samples beyond chance: a deal then counts by the
    probability that, with that much normal noise, it comes out at least as far as what was seen.
    """
    gates, n = x.shape
    m = y.shape[1]
    k, l = rank(n, q), rank(m, q)  # noqa: E741
    law = _law(n, m, k, l)
    scale = np.broadcast_to(np.asarray(noise, dtype=np.float64), (gates,))
    result = np.empty(gates)
    block = max(1, _CELLS // max(law.probability.size, n + m))
    for start in range(0, gates, block):
        part = slice(start, start + block)
        seen = _ordered(x[part], k) - (_ordered(y[part], l) + shift)
        pooled = np.concatenate((x[part], y[part]), axis=1)
        pooled[:, n:] += shift
        pooled.sort(axis=1)
        beyond = np.take(pooled, law.x_rank, axis=1)
        beyond -= np.take(pooled, law.y_rank, axis=1)
        beyond -= (seen - TIE)[:, None]
        result[part] = _at_least(beyond, scale[part]) @ law.probability
    return np.minimum(1.0, result + law.rest)


def _ordered(rows: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The *k*-th smallest value of each row."""
    return np.partition(rows, k - 1, axis=1)[:, k - 1].copy()  # the row is let go


def _at_least(beyond: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that a deal *beyond* what was seen is still beyond it with normal *noise* added."""
    if not noise.any():
        return (beyond >= 0).astype(np.float64)
    # Where there is no noise the quotient is so large that this is the indicator again.
    result: NDArray[np.float64] = ndtr(beyond / np.maximum(noise, TIE / 64)[:, None])
    return result
