"""What makes two runs of the same code differ: run effects, correlation, drift, modes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtri

from pytest_llmperf.core.quantile import RESOLUTION_S, checked, standard_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

ASSUMED: Final = 0.03  #: run effect (standard deviation of the logarithm) where the stored runs cannot tell
_FEWEST_RUNS: Final = 3


def logs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of times, with nothing shorter than the clock can see."""
    return np.log(np.maximum(values, RESOLUTION_S))


def normal_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values' ranks (ties share one) as quantiles of the normal distribution, mean zero."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    scores: NDArray[np.float64] = ndtri((ranks - 0.5) / values.size)
    return scores - scores.mean()


def correlation(values: NDArray[np.float64]) -> float:
    """Lag-1 correlation of time-ordered *values* on normal scores, -1..1; 0 when they do not vary."""
    scores = normal_scores(values)
    power = float(scores @ scores)
    return float(scores[1:] @ scores[:-1]) / power if power > 0 else 0.0


def inflation(values: NDArray[np.float64]) -> float:
    """How many times more a quantile varies than independent samples would make it, at least 1.

    That of a first-order autoregression with the series' own lag-1 correlation.
    """
    r = min(0.95, correlation(values))
    return (1 + r) / (1 - r) if r > 0 else 1.0


def trend(values: NDArray[np.float64]) -> float:
    """How many standard errors the ranks rise (or fall, below zero) with time."""
    n = values.size
    scores, time = normal_scores(values), np.arange(n) - (n - 1) / 2
    size = math.sqrt(float(scores @ scores) * float(time @ time))
    return float(scores @ time) / size * math.sqrt(n - 1) if size > 0 else 0.0


def run_effect(scenarios: Iterable[Sequence[Sequence[float]]], *, quantile: float) -> float | None:
    """Standard deviation between runs of the logarithm of a quantile, pooled over scenarios.

    Each scenario gives its stored runs; what chance inside the runs explains is taken off. None
    when no scenario has three runs.
    """
    excess, weight = 0.0, 0
    for runs in scenarios:
        if len(runs) < _FEWEST_RUNS:
            continue
        series = [logs(checked(run, f"run {number}")) for number, run in enumerate(runs)]
        between = float(np.var([np.quantile(one, quantile) for one in series], ddof=1))
        within = float(np.mean([standard_error(one, quantile) ** 2 for one in series]))
        excess += (len(runs) - 1) * max(0.0, between - within)
        weight += len(runs) - 1
    return math.sqrt(excess / weight) if weight else None
