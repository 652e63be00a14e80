"""The exact test of one quantile in two interleaved samples: labels swap within pairs only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
from scipy.special import bdtr, bdtrc, ndtr

from pytest_llmperf.core.permutation import TIE, log_choose
from pytest_llmperf.core.quantile import rank

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST: Final = 10  #: pairs below which the normal law of the rank sum is not used
_FEW: Final = 100  #: pairs whose every outcome is added up; of more, those that can happen
_CELLS: Final = 1 << 16  #: numbers in one block of work
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
    at_least = _joint(_counts(high, low, a, b, strict=False), above)
    more = _joint(_counts(high, low, a, b, strict=True), above)
    return float((at_least - more).sum()) + rest


def _tail(least: NDArray[np.int64], coins: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(at least *least* heads in *coins* throws)."""
    inside = np.clip(least - 1, 0, coins)
    return np.where(least <= 0, 1.0, np.where(least > coins, 0.0, bdtrc(inside.astype(float), coins, 0.5)))


def _joint(counts: _Counts, above: int) -> NDArray[np.float64]:
    """P(x_(k) >= a and y_(k) <= b) for each pair of thresholds a > b; *above* x are needed for the former.

    A pair with one up and one down sends its up to x or to y; pairs with one up and one middle, or one
    middle and one down, only matter to x or to y.
    """
    widest = int(counts.up_down.max(initial=0))
    step = max(1, _CELLS // (widest + 1 if widest <= _FEW else 2 * _reach(widest) + 1))
    parts = [
        _of_coins(_Counts(*(each[start : start + step] for each in counts)), above)
        for start in range(0, counts.up_down.size, step)
    ]
    return np.concatenate([np.empty(0), *parts])


class _Counts(NamedTuple):
    """How many pairs are what by each two thresholds: up (at or past a), middle, or down (at most b)."""

    two_up: NDArray[np.int64]
    up_down: NDArray[np.int64]
    up_middle: NDArray[np.int64]
    middle_down: NDArray[np.int64]
    no_down: NDArray[np.int64]


def _counts(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    strict: bool,
) -> _Counts:
    """Counts for thresholds that ascend together: a pair that is not up, or down, stays so from then on.

    *strict*: a value is up past a only.
    """
    n, at = high.size, np.arange(a.size)
    past: Literal["left", "right"] = "left" if strict else "right"
    high_from, low_from = np.searchsorted(a, high, past), np.searchsorted(a, low, past)  # no longer up
    high_down_from, low_down_from = np.searchsorted(b, high, "left"), np.searchsorted(b, low, "left")

    def until(first: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(np.sort(first), at, "right")

    up, two_up = n - until(high_from), n - until(low_from)
    low_down, high_down = until(low_down_from), until(high_down_from)
    not_up_and_low_down = until(np.maximum(high_from, low_down_from))
    up_down = low_down - not_up_and_low_down
    return _Counts(
        two_up=two_up,
        up_down=up_down,
        up_middle=up - two_up - up_down,
        # Where the higher value is down it is not up, and the lower one is down too.
        middle_down=not_up_and_low_down - high_down,
        no_down=n - low_down,
    )


def _reach(coins: int) -> int:
    """Ten standard deviations of the heads in so many throws: what lies further out is lost in rounding."""
    return math.ceil(5 * math.sqrt(coins))


def _of_coins(counts: _Counts, above: int) -> NDArray[np.float64]:
    """The probability for each row of *counts*, by the number of pairs up-down that send their up to x."""
    up_down, widest = counts.up_down[:, None], int(counts.up_down.max(initial=0))
    if widest <= _FEW:
        heads = np.broadcast_to(np.arange(widest + 1)[None, :], (up_down.size, widest + 1))
    else:
        heads = up_down // 2 + np.arange(-_reach(widest), _reach(widest) + 1)[None, :]
    weight = np.exp(log_choose(up_down.astype(float), heads.astype(float)) - up_down * np.log(2.0))
    x_part = _tail(
        above - counts.two_up[:, None] - heads, np.broadcast_to(counts.up_middle[:, None], weight.shape)
    )
    room = above - 1 - counts.no_down[:, None] - (up_down - heads)  # how many more y may lie above b
    y_coins = np.broadcast_to(counts.middle_down[:, None], weight.shape)
    y_part = np.where(room < 0, 0.0, bdtr(np.clip(room, 0, y_coins).astype(float), y_coins, 0.5))
    result: NDArray[np.float64] = (weight * x_part * y_part).sum(axis=1)
    return result
