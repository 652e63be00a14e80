"""What a person should know about a series of samples before trusting a verdict on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from pytest_llmperf.core.decision import ASSUMED
from pytest_llmperf.core.noise import memory, normal_scores, ranked
from pytest_llmperf.core.permutation import TIE
from pytest_llmperf.core.quantile import needed, rank
from pytest_llmperf.core.verdict import label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRIFT: Final = 4.0  #: standard errors of the trend that are mentioned
_GAP: Final = math.log(1.25)  #: smallest gap between two groups of values that is mentioned


def trend(series: NDArray[np.float64]) -> float:
    """How many standard errors the values rise (below zero: fall) with time.

    The correlation that is left when the straight line is taken off counts.
    """
    scores = normal_scores(ranked(series[None, :]))[0]
    time = np.arange(series.size) - (series.size - 1) / 2
    if not scores.any():
        return 0.0
    slope = float(scores @ time) / float(time @ time)
    left = scores - slope * time
    _, factor = memory(ranked(left[None, :]))
    error = math.sqrt(float(left @ left) * float(factor[0]) / (series.size * float(time @ time)))
    return slope / max(error, TIE)


def drift(series: NDArray[np.float64]) -> str | None:
    """A sentence when the values rise or fall throughout the run."""
    size = trend(series)
    if abs(size) < _DRIFT:
        return None
    return (
        f"requests became {'slower' if size > 0 else 'faster'} during the run: warm-up, or the machine drifts"
    )


def mode_gap(series: NDArray[np.float64], q: float, *, metric: str = "latency") -> str | None:
    """A sentence when the quantile of *metric* sits at a gap between two groups of values.

    94 % cache hits and 6 % misses: whether p95 is a hit or a miss is then decided by a few requests.
    """
    ordered = np.sort(series)
    n = ordered.size
    reach = math.ceil(2 * math.sqrt(n * q * (1 - q)))
    k = rank(n, q)
    first, last = max(1, k - reach), min(n - 2, k + reach)  # at least two values on the far side
    if last < first:
        return None
    gaps = np.diff(ordered[first - 1 : last + 1])
    body = float(np.quantile(ordered, 0.84) - np.median(ordered))
    widest = float(gaps.max())
    if widest < max(_GAP, 2 * body):
        return None
    return (
        f"{label_of(metric, f'p{q * 100:g}')} sits at a gap between two groups of requests "
        f"({math.exp(widest):.1f} times apart): split them into two scenarios"
    )


def too_few(n: int, q: float) -> str:
    """A sentence for samples of which the quantile is simply the largest."""
    return f"only {n} samples, and p{q * 100:g} takes {needed(q)}: p50 was compared instead"


def assumed(lasting: float, runs: int) -> str:
    """What had to be assumed about run-to-run noise; *lasting* is its variance in the comparison."""
    spread = math.sqrt(lasting / (1 + 1 / runs))
    told = "one stored run" if runs == 1 else f"{runs} stored runs"
    uneven = ", and the machine was uneven" if spread > 1.1 * ASSUMED else ""
    size = spread if uneven else ASSUMED
    return f"{told}{uneven}: runs are assumed to differ by {size * 100:.0f} %"


def too_noisy(smallest: float, q: float, *, metric: str = "latency") -> str:
    """A sentence for runs whose *metric* differs so much that no number of requests would help."""
    what = label_of(metric, f"p{q * 100:g}")
    return (
        f"this machine is too noisy for a stored baseline: only regressions of {what} above "
        f"+{smallest * 100:.0f} % would be proven; compare with --llm-ab, or store more runs"
    )
