"""Shares of successes: their interval, and whether one is lower than another."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from pytest_llmperf.core.decision import ALPHA, BEYOND, FINE, TAIL, Decision, ratio
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.permutation import log_choose

_DROP: Final = 0.05  #: a share may fall by this much before it counts


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
    mass = np.exp(
        log_choose(good, seen) + log_choose(total - good, trials - seen) - log_choose(total, trials)
    )
    return min(1.0, float(mass.sum()))


def drop(successes: int, trials: int, base_successes: int, base_trials: int) -> tuple[float, float]:
    """How far the share fell below the base's, and the standard error of that (Agresti and Caffo, 2000)."""
    share, base = (successes + 1) / (trials + 2), (base_successes + 1) / (base_trials + 2)
    error = math.sqrt(share * (1 - share) / (trials + 2) + base * (1 - base) / (base_trials + 2))
    return base - share, error


def decide_proportion(
    successes: int,
    trials: int,
    base_successes: int,
    base_trials: int,
    *,
    margin: float = _DROP,
    look: int = 0,
    looks: tuple[int, ...] = (),
    alpha: float = ALPHA,
) -> Decision:
    """Decide whether a share of successes fell by more than *margin* (0.05: five points).

    Higher is better. regressed: Fisher's exact test proves a fall, and Agresti and Caffo's
    interval is past the margin at 90 %. improved: the mirror image. passed: a fall of twice the
    margin is ruled out at 95 %, and the fall seen is within the margin; or nothing failed, so that
    nothing fell. The ratio, its interval
    and the smallest regression seen are of the shares, relative to the base's.
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin: {margin} is not between 0 and 1")
    p_worse = fisher(successes, trials, base_successes, base_trials)
    p_better = fisher(base_successes, base_trials, successes, trials)
    fall, error = drop(successes, trials, base_successes, base_trials)
    share, base = successes / trials, base_successes / base_trials
    p_beyond, p_fine = _tail((fall - margin) / error), _tail((2 * margin - fall) / error)
    level = alpha * (looks[min(look, len(looks) - 1)] / sum(looks) if looks else 1.0)
    if p_worse <= level and p_beyond <= BEYOND:
        outcome = Outcome.REGRESSED
    elif p_better <= level and _tail((-fall - margin) / error) <= BEYOND:
        outcome = Outcome.IMPROVED
    elif base - share > margin:
        outcome = Outcome.UNPROVEN
    else:
        fine = p_fine <= FINE or successes == trials
        outcome = Outcome.PASSED if fine else Outcome.INCONCLUSIVE
    undecided = outcome in {Outcome.UNPROVEN, Outcome.INCONCLUSIVE}
    z = [-float(ndtri(p)) * error for p in (level, BEYOND, FINE, TAIL)]
    return Decision(
        outcome=outcome,
        final=look + 1 >= len(looks) or not undecided,
        observed=share,
        baseline=base,
        ratio=ratio(share, base),
        low=ratio(max(0.0, base - fall - z[3]), base),
        high=ratio(min(1.0, base - fall + z[3]), base),
        n=trials,
        m=base_trials,
        p_worse=p_worse,
        p_beyond=p_beyond,
        p_fine=p_fine,
        mde=max(z[0], margin + z[1]) + z[2] if undecided else None,
        more=None,
        warnings=(),
    )


def _tail(size: float) -> float:
    """Normal probability beyond *size*."""
    return float(ndtr(-size))
