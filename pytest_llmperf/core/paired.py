"""The exact test of one quantile in two interleaved samples: labels swap within pairs only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import bdtr, bdtrc, ndtr

from pytest_llmperf.core.permutation import TIE, log_choose
from pytest_llmperf.core.quantile import rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST: Final = 10  #: pairs below which the normal law of the rank sum is not used
_NEGLIGIBLE: Final = 1e-11  #: a value less probable than this to be the quantile is left out


def p_value(x: NDArray[np.float64], y: NDArray[np.float64], *, q: float, shift: float = 0.0) -> float:
    """p-value for "the *q* quantile of x exceeds that of y by no more than *shift*" (logarithms).

    x[i] and y[i] are one pair, measured next to each other in random order: if the arms do not
    differ, each pair might as well have come out swapped. So a drift of the machine, which moves
    both of a pair, cancels. The 2^n swaps are summed exactly: given two thresholds, the counts
    above them are sums of independent binomials.
    """
    k = rank(x.size, q)
    moved = y + shift
    seen = float(np.partition(x, k - 1)[k - 1] - np.partition(moved, k - 1)[k - 1])
    high, low = np.maximum(x, moved), np.minimum(x, moved)
    # Swapping every pair turns the difference around, so it is symmetric about zero.
    if seen > TIE:
        return min(1.0, _at_least(high, low, k, seen - TIE))
    return max(0.0, 1.0 - _at_least(high, low, k, TIE - seen))


def no_slower(x: NDArray[np.float64], y: NDArray[np.float64], *, q: float) -> float:
    """p-value for "x is no slower than y, neither at its *q* quantile nor throughout".

    Under "the arms do not differ" every pair might have been swapped, so any statistic of the
    swaps is a valid test. Two are asked, and the smaller p-value doubled: the quantile's own
    (:func:`p_value`), and Wilcoxon's signed ranks of the pairs' log ratios, which see a change of
    the whole distribution with far fewer pairs. How much slower the quantile itself is, is another
    question (:func:`p_value` with a shift).
    """
    return min(1.0, 2 * min(p_value(x, y, q=q), _signed_ranks(x - y)))


def _signed_ranks(differences: NDArray[np.float64]) -> float:
    """Upper tail of Wilcoxon's signed-rank sum; its normal law, whose tail is the heavier one."""
    moved = differences[np.abs(differences) > TIE]
    if moved.size < _FEWEST:
        return 1.0
    _, inverse, counts = np.unique(np.abs(moved).round(12), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    total = float(ranks @ np.sign(moved))
    return float(ndtr(-(total - 1) / math.sqrt(float(ranks @ ranks))))


def _at_least(high: NDArray[np.float64], low: NDArray[np.float64], k: int, distance: float) -> float:
    """Probability that x_(k) - y_(k) >= *distance* > 0 when every pair is swapped or not by a coin."""
    n = high.size
    above = n - k + 1  # x_(k) >= a when at least this many x are
    candidates = np.unique(np.concatenate((high, low)))
    sorted_high, sorted_low = np.sort(high), np.sort(low)

    def reaches(side: str) -> NDArray[np.float64]:
        """P(x_(k) >= a), or > a when *side* is "right", for every candidate a."""
        both = n - np.searchsorted(sorted_low, candidates, side=side)  # type: ignore[call-overload]  # a str, not a literal
        one = n - np.searchsorted(sorted_high, candidates, side=side) - both  # type: ignore[call-overload]
        return _tail(above - both, one)

    mass = reaches("left") - reaches("right")
    a = candidates[mass > _NEGLIGIBLE]
    b = a - distance
    rest = max(0.0, 1.0 - float(mass[mass > _NEGLIGIBLE].sum()))
    counted = high > b.min(initial=np.inf)  # the others lie below every threshold, wherever they go
    high, low = high[counted], low[counted]
    at_least = _joint(high, low, a, b, above, strict=False)
    more = _joint(high, low, a, b, above, strict=True)
    return float((at_least - more).sum()) + rest


def _tail(least: NDArray[np.int64], coins: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(at least *least* heads in *coins* throws)."""
    inside = np.clip(least - 1, 0, coins)
    return np.where(least <= 0, 1.0, np.where(least > coins, 0.0, bdtrc(inside.astype(float), coins, 0.5)))


def _joint(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    above: int,
    *,
    strict: bool,
) -> NDArray[np.float64]:
    """P(x_(k) >= a and y_(k) <= b) for each a > b; x_(k) > a when *strict*.

    Values are up (at or past a), middle, or down (at most b). A pair with one up and one down
    sends its up to x or to y; pairs with one up and one middle, or one middle and one down, only
    matter to x or to y.
    """
    up = (np.greater if strict else np.greater_equal)(high, a[:, None])
    both_up = (np.greater if strict else np.greater_equal)(low, a[:, None])
    high_down, low_down = high <= b[:, None], low <= b[:, None]
    two_up = both_up.sum(axis=1)
    up_down = (up & low_down).sum(axis=1)
    up_middle = up.sum(axis=1) - two_up - up_down
    middle_down = (~up & ~high_down & low_down).sum(axis=1)
    no_down = (~low_down).sum(axis=1)
    heads = np.arange(int(up_down.max(initial=0)) + 1)[None, :]  # pairs up-down that send their up to x
    weight = np.exp(
        log_choose(up_down[:, None].astype(float), heads.astype(float)) - up_down[:, None] * np.log(2.0)
    )
    x_part = _tail(above - two_up[:, None] - heads, np.broadcast_to(up_middle[:, None], weight.shape))
    room = above - 1 - no_down[:, None] - (up_down[:, None] - heads)  # how many more y may lie above b
    y_coins = np.broadcast_to(middle_down[:, None], weight.shape)
    y_part = np.where(room < 0, 0.0, bdtr(np.clip(room, 0, y_coins).astype(float), y_coins, 0.5))
    result: NDArray[np.float64] = (weight * x_part * y_part).sum(axis=1)
    return result
