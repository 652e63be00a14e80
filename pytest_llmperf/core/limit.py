"""Whether an absolute limit (``p95_ms=150``, ``json_valid=0.98``) is broken or kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import bdtr, bdtrc

from pytest_llmperf.core import proportion
from pytest_llmperf.core.quantile import RESOLUTION_S, checked, interval, logs

if TYPE_CHECKING:
    from collections.abc import Sequence

_BROKEN_ALPHA: Final = (
    0.01  #: chance that a limit met exactly is called broken before the last look, all looks together
)
_KEPT_ALPHA: Final = (
    0.05  #: chance, at one look, that a limit missed twice as often as it may be is called kept
)
CLOSE: Final = "close to the limit"


class Side(StrEnum):
    """On which side of a limit the truth lies."""

    BROKEN = "broken"
    KEPT = "kept"
    STRADDLING = "straddling"  #: more samples are needed


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitDecision:
    """What the samples say about an absolute limit."""

    side: Side
    final: bool  #: no later look can or should change it
    observed: float  #: the point estimate, in the values' unit
    low: float  #: 95 % interval of the truth
    high: float  #: infinity when so few values give no upper end (p95 takes 72)
    n: int
    warnings: tuple[str, ...]


def decide_limit(
    values: Sequence[float],
    bound: float,
    *,
    quantile: float,
    look: int = 0,
    looks: tuple[int, ...] = (),
    alpha: float = _BROKEN_ALPHA,
) -> LimitDecision:
    """Which side of *bound* the *quantile* of *values* is on ("at most": kept when below).

    Only the number of values beyond the bound counts, so the rule is exact for every
    distribution; when the quantile sits exactly on the bound, that number is binomial with
    probability 1 - quantile.

    - broken, at any look: that many or more beyond the bound have probability <= alpha / looks.
      For p95 that is 7 of the first 30.
    - kept, at any look: that few or fewer would have probability <= 5 % if the odds of being
      beyond were twice what the limit allows, and the point estimate is below the bound. Proof of
      the limit itself would take 59 samples with none beyond; with 30 samples and none beyond,
      the data rule out that 1 in 10 (against 1 in 20) is too slow, and that is enough to stop.
    - kept too: none is beyond, and the bound is twice as far above the median as the largest
      value is (on the logarithmic scale).
    - straddling before the last look: take more samples. At the last look the point estimate
      decides, and the decision says that it is close to the limit.

    Raises ValueError on an empty, NaN, infinite or negative input.
    """
    array = checked(values, "values")
    if not (math.isfinite(bound) and bound >= 0):
        raise ValueError(f"bound: {bound} is not a finite number of at least 0")
    n = array.size
    observed = float(np.quantile(array, quantile))
    low, high = interval(array, quantile)
    beyond = int((array > bound).sum())
    side = _side(beyond, n, allowed=1 - quantile, kept=observed <= bound, alpha=alpha / max(1, len(looks)))
    if _far_above(array, bound):
        side = Side.KEPT
    return _settled(
        side, kept=observed <= bound, observed=observed, low=low, high=high, n=n, last=look + 1 >= len(looks)
    )


def _side(beyond: int, n: int, *, allowed: float, kept: bool, alpha: float) -> Side:
    """What is proven if *beyond* of *n* are beyond a limit that allows it of a share *allowed*.

    Nothing is where it contradicts the point estimate, by which the limit is *kept* or not.
    """
    if not kept and float(bdtrc(beyond - 1, n, allowed)) <= alpha:
        return Side.BROKEN
    if kept and float(bdtr(float(beyond), n, 2 * allowed / (1 + allowed))) <= _KEPT_ALPHA:
        return Side.KEPT
    return Side.STRADDLING


def _far_above(array: np.ndarray[tuple[int], np.dtype[np.float64]], bound: float) -> bool:
    """Whether the bound lies twice as far above the median as the largest value does, and so beyond it."""
    ordered = logs(array)
    middle = float(np.median(ordered))
    return math.log(max(bound, RESOLUTION_S)) - middle >= max(
        2 * (float(ordered.max()) - middle), math.log(1.1)
    )


def _settled(
    side: Side, *, kept: bool, observed: float, low: float, high: float, n: int, last: bool
) -> LimitDecision:
    """The decision; at the *last* look the point estimate settles what is straddling."""
    warnings: tuple[str, ...] = ()
    if side is Side.STRADDLING and last:
        side, warnings = (Side.KEPT if kept else Side.BROKEN), (CLOSE,)
    return LimitDecision(
        side=side,
        final=side is not Side.STRADDLING,
        observed=observed,
        low=low,
        high=high,
        n=n,
        warnings=warnings,
    )


def decide_limit_proportion(
    successes: int,
    trials: int,
    bound: float,
    *,
    look: int = 0,
    looks: tuple[int, ...] = (),
    alpha: float = _BROKEN_ALPHA,
) -> LimitDecision:
    """Which side of *bound* (0..1) a share of successes is on ("at least": kept when above).

    The rule is that of `decide_limit`, with failures for the values beyond the bound. So a bound of 1 is
    a promise about every request: one failure breaks it at once. Without a failure every bound is
    kept: whatever keeps 1.0 keeps less. The interval is Wilson's.
    """
    proportion.checked(successes, trials)
    if not 0 <= bound <= 1:
        raise ValueError(f"bound: {bound} is not between 0 and 1")
    share, failures = successes / trials, trials - successes
    low, high = proportion.wilson(successes, trials)
    if failures == 0 or bound == 0:
        side = Side.KEPT
    else:
        each = alpha / max(1, len(looks))
        side = _side(failures, trials, allowed=1 - bound, kept=share >= bound, alpha=each)
    return _settled(
        side, kept=share >= bound, observed=share, low=low, high=high, n=trials, last=look + 1 >= len(looks)
    )
