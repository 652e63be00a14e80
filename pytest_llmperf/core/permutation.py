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

_NEGLIGIBLE: Final = (
    1e-10  #: probability below which a pair of ranks is left out (its mass counts as evidence of nothing)
)
_TIE: Final = 1e-12  #: differences of logarithms below this are rounding
_CELLS: Final = 1 << 21  #: cells of one block of work: 16 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class _Law:
    """Where the two order statistics fall in the pooled sample when the labels mean nothing."""

    x_ranks: slice  #: pooled ranks, from 0, that x_(k) takes with more than a negligible probability
    y_ranks: slice
    probability: NDArray[np.float64]  #: [rank of x_(k), rank of y_(l)]
    rest: float  #: probability that was left out


def _log_choose(n: NDArray[np.float64], k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the binomial coefficient, minus infinity outside 0 <= k <= n."""
    inside = (k >= 0) & (k <= n)
    n, k = np.where(inside, n, 0), np.where(inside, k, 0)
    return np.where(inside, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), -np.inf)


@lru_cache(maxsize=64)
def _law(n: int, m: int, k: int, l: int) -> _Law:  # noqa: E741  k and l are the ranks in x and in y
    total = n + m
    ranks = np.arange(1, total + 1, dtype=np.float64)
    whole = _log_choose(np.float64(total), np.float64(n))

    def likely(of: int, kth: int) -> tuple[slice, NDArray[np.float64]]:
        mass = np.exp(
            _log_choose(ranks - 1, np.float64(kth - 1))
            + _log_choose(total - ranks, np.float64(of - kth))
            - whole
        )
        kept = np.flatnonzero(mass > _NEGLIGIBLE)
        window = slice(int(kept[0]), int(kept[-1]) + 1)
        return window, ranks[window]

    x_ranks, r = likely(n, k)
    y_ranks, s = likely(m, l)
    r, s = r[:, None], s[None, :]
    x_first = (
        _log_choose(r - 1, np.float64(k - 1))
        + _log_choose(s - r - 1, l - (r - k) - 1)
        + _log_choose(total - s, np.float64(m - l))
    )
    y_first = (
        _log_choose(s - 1, np.float64(l - 1))
        + _log_choose(r - s - 1, k - (s - l) - 1)
        + _log_choose(total - r, np.float64(n - k))
    )
    probability = np.exp(np.where(r < s, x_first, np.where(s < r, y_first, -np.inf)) - whole)
    return _Law(
        x_ranks=x_ranks,
        y_ranks=y_ranks,
        probability=probability,
        rest=max(0.0, 1.0 - float(probability.sum())),
    )


def p_values(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    q: float,
    shift: NDArray[np.float64] | float = 0.0,
    noise: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.float64]:
    """One p-value per row for "the *q* quantile of x exceeds that of y by no more than *shift*".

    The rows of x (G x n) and y (G x m) are logarithms of times, so *shift* is the logarithm of a
    ratio. Every way to deal the pooled values to the two samples counts, weighted by its exact
    probability: with ranks r of x_(k) and s of y_(l) there are
    C(r-1, k-1) C(s-r-1, l-(r-k)-1) C(N-s, m-l) of C(N, n) deals when r < s, and mirrored when
    s < r. *noise* is the standard deviation of what separates the two samples beyond chance (a
    run effect): a deal then counts by the probability that it, with that much normal noise, comes
    out at least as far as what was seen.
    """
    gates, n = x.shape
    m = y.shape[1]
    k, l = rank(n, q), rank(m, q)  # noqa: E741
    law = _law(n, m, k, l)
    shift = np.broadcast_to(np.asarray(shift, dtype=np.float64), (gates,))
    noise = np.broadcast_to(np.asarray(noise, dtype=np.float64), (gates,))
    moved = y + shift[:, None]
    seen = np.partition(x, k - 1, axis=1)[:, k - 1] - np.partition(moved, l - 1, axis=1)[:, l - 1]
    pooled = np.sort(np.concatenate((x, moved), axis=1), axis=1)
    high, low = pooled[:, law.x_ranks], pooled[:, law.y_ranks]
    result = np.empty(gates)
    block = max(1, _CELLS // law.probability.size)
    for start in range(0, gates, block):
        part = slice(start, start + block)
        beyond = high[part, :, None] - low[part, None, :] - (seen[part] - _TIE)[:, None, None]
        result[part] = np.einsum("grs,rs->g", _at_least(beyond, noise[part]), law.probability)
    return np.minimum(1.0, result + law.rest)


def _at_least(beyond: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that a deal *beyond* what was seen stays there when normal *noise* is added."""
    if not noise.any():
        return (beyond >= 0).astype(np.float64)
    # Without noise the ratio is plus or minus infinity in effect: the indicator again.
    return ndtr(beyond / np.maximum(noise, _TIE / 64)[:, None, None])


def p_value(
    x: NDArray[np.float64], y: NDArray[np.float64], *, q: float, shift: float = 0.0, noise: float = 0.0
) -> float:
    """:func:`p_values` for one pair of samples."""
    return float(p_values(x[None, :], y[None, :], q=q, shift=shift, noise=noise)[0])
