"""Shares of successes: their interval, and whether one is lower than another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, ndtr, ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checked(successes: int, trials: int, name: str = "proportion") -> None:
    """Raise ValueError naming *name* unless 0 <= successes <= trials and there is a trial."""
    if trials < 1:
        raise ValueError(f"{name}: no trials")
    if not 0 <= successes <= trials:
        raise ValueError(f"{name}: {successes} successes of {trials} trials")


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: sane at 0 and 1, and for few trials."""
    checked(successes, trials)
    z = float(ndtri((1 + confidence) / 2))
    share = successes / trials
    centre = share + z * z / (2 * trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low, high = (centre - reach) / scale, (centre + reach) / scale
    return (0.0 if successes == 0 else low, 1.0 if successes == trials else high)


def fisher(successes: int, trials: int, base_successes: int, base_trials: int) -> float:
    """One-sided p-value of Fisher's exact test for "the share is no lower than the base's"."""
    checked(successes, trials, "current")
    checked(base_successes, base_trials, "baseline")
    total, good = trials + base_trials, successes + base_successes
    seen = np.arange(max(0, good - base_trials), successes + 1, dtype=np.float64)
    log_mass = (
        _log_choose(good, seen)
        + _log_choose(total - good, trials - seen)
        - _log_choose(total, np.float64(trials))
    )
    return min(1.0, float(np.exp(log_mass).sum()))


def _log_choose(n: int, k: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    result: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return result


def drop(successes: int, trials: int, base_successes: int, base_trials: int) -> tuple[float, float]:
    """How far the share fell below the base's, and the standard error of that (Agresti and Caffo, 2000)."""
    share, base = (successes + 1) / (trials + 2), (base_successes + 1) / (base_trials + 2)
    error = math.sqrt(share * (1 - share) / (trials + 2) + base * (1 - base) / (base_trials + 2))
    return base - share, error


def at_most(fall: float, error: float, margin: float) -> float:
    """p-value for "the share fell by no more than *margin*"."""
    return float(ndtr((margin - fall) / error))
