"""Quantiles of a sample, how well it knows them, and what the exact interval says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import bdtr, betainc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RESOLUTION_S: Final = 1e-9  #: nothing is timed finer than this; zero counts as this much


def checked(values: Sequence[float], name: str) -> NDArray[np.float64]:
    """*values* as an array; raises ValueError naming *name* when empty, NaN, infinite or negative."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one series of numbers, got {array.ndim} dimensions")
    if array.size == 0:
        raise ValueError(f"{name}: no values")
    for wrong, word in ((np.isnan(array), "NaN"), (np.isinf(array), "infinite"), (array < 0, "negative")):
        if wrong.any():
            raise ValueError(f"{name}: value {int(np.argmax(wrong))} is {word}")
    return array


def logs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of times, with nothing shorter than the clock can see."""
    return np.log(np.maximum(values, RESOLUTION_S))


def _check(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"quantile: {q} is not between 0 and 1")


def rank(n: int, q: float) -> int:
    """Nearest rank of the *q* quantile among *n* values: 1 is the smallest, *n* the largest."""
    _check(q)
    return min(n, max(1, math.ceil(q * n - 1e-9)))


def needed(q: float) -> int:
    """Samples from which the *q* quantile is not simply the largest (or smallest) value: 20 for p95."""
    _check(q)
    return math.ceil(1 / min(q, 1 - q) - 1e-9)


def variance(rows: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """Variance of the *q* quantile of each row, its values taken as independent.

    Maritz and Jarrett (1978): the mean and the variance of the order statistic under the sample's
    own distribution.
    """
    n = rows.shape[1]
    k = rank(n, q)
    steps = np.diff(betainc(k, n - k + 1, np.arange(n + 1) / n))
    ordered = np.sort(rows, axis=1)
    ordered -= (ordered @ steps)[:, None]
    result: NDArray[np.float64] = ordered**2 @ steps
    return result


def interval(values: NDArray[np.float64], q: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact order-statistic interval of the *q* quantile, whatever the distribution.

    An end that so few values cannot give is 0 or infinity: an upper end for p95 takes 72 values
    at 95 %.
    """
    ordered = np.sort(values)
    n = ordered.size
    tail = (1 - confidence) / 2
    # The number of values below the quantile, B, is binomial(n, q): x_(j) lies above it when B < j.
    below = bdtr(np.arange(n, dtype=np.float64), n, q)  # below[j - 1] = P(B < j)
    lower = int(np.searchsorted(below, tail, side="right"))  # the largest j with P(B < j) <= tail
    upper = int(np.searchsorted(below, 1 - tail, side="left")) + 1  # the smallest with P(B < j) >= 1 - tail
    return (
        float(ordered[lower - 1]) if lower >= 1 else 0.0,
        float(ordered[upper - 1]) if upper <= n else math.inf,
    )


def quantile(values: Sequence[float], q: float) -> float:
    """The ordinary *q* quantile, as people are shown it (linear interpolation), in the values' unit."""
    return float(np.quantile(checked(values, "values"), q))
