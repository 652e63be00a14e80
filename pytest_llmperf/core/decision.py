"""What the gate says about one quantity against its baseline, and when it looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_llmperf.core.outcome import Outcome

#: Chance that one gate fails unchanged code, all looks together: 1 % per session of 50 gates.
ALPHA: Final = 2e-4
#: Chance that a regression of exactly the limit counts as more than the limit.
BEYOND: Final = 0.10
#: Chance that a regression of twice the limit is called passed, all looks together.
FINE: Final = 0.05
#: Each tail outside the intervals that are shown.
TAIL: Final = 0.025
#: Run effect (standard deviation of the logarithm) where the stored runs cannot tell, and how many can.
ASSUMED: Final = 0.03
FEWEST_RUNS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What current samples say against a baseline."""

    outcome: Outcome  #: passed, improved, inconclusive, unproven or regressed
    final: bool  #: no later look can or should change it: decided, the last look, or beyond help
    observed: float  #: ordinary quantile of the current samples, in their unit
    baseline: float  #: the same of the baseline
    ratio: float  #: current / baseline
    low: float  #: 95 % interval of the ratio, by inverting the same test
    high: float  #: infinity when so few samples give no upper end
    n: int  #: current samples
    m: int  #: baseline samples
    p_worse: float  #: p-value for "not slower"
    p_beyond: float  #: p-value for "slower by no more than the limit"
    p_fine: float  #: p-value for "slower by twice the limit or more"
    #: Smallest regression that would be proven (0.21 is +21 %); infinity where none would; None when decided.
    mde: float | None
    #: How many more samples would likely settle it; None when decided, or when no number would.
    more: int | None
    warnings: tuple[str, ...]  #: plain sentences
    quantile: float | None = None  #: what was compared, which is 0.5 for few samples; None: a rate


def looks(iterations: int, maximum: int) -> tuple[int, ...]:
    """Sample counts at which the gate looks: doubling from *iterations*, the last is *maximum*."""
    if maximum <= iterations:
        return (iterations,)
    counts = [iterations]
    while counts[-1] * 2 < maximum:
        counts.append(counts[-1] * 2)
    return (*counts, maximum)


def ratio(observed: float, baseline: float) -> float:
    """*observed* / *baseline*; two zeros are equal, and anything is infinitely more than zero."""
    if baseline > 0:
        return observed / baseline
    return 1.0 if observed == 0 else math.inf
