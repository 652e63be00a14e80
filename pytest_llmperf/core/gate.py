"""The gate: whether the data prove a regression, prove that there is none, or neither.

Imports numpy and scipy.special: reach this module only when there is something to judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtri

from pytest_llmperf.core import noise, proportion
from pytest_llmperf.core.limit import LimitDecision, Side, decide_limit, decide_limit_proportion
from pytest_llmperf.core.noise import run_effect
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.permutation import p_value
from pytest_llmperf.core.quantile import checked, needed, standard_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "Decision",
    "LimitDecision",
    "Side",
    "decide",
    "decide_limit",
    "decide_limit_proportion",
    "decide_plain",
    "decide_proportion",
    "looks",
    "run_effect",
]

ALPHA: Final = (
    2e-4  #: chance that one gate fails unchanged code, all looks together: 1 % per session of 50 gates
)
BEYOND: Final = 0.10  #: chance that a regression of exactly the limit is called more than the limit
FINE: Final = 0.05  #: chance that a regression of twice the limit is called passed, all looks together
_SURE: Final = 0.025  #: each end of the shown interval
_DROP: Final = 0.05  #: a share may fall by this much before it counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What current samples say against a baseline."""

    outcome: Outcome  #: passed, improved, inconclusive, unproven or regressed
    final: bool  #: no later look can or should change it: it is decided, or this is the last look
    observed: float  #: ordinary quantile of the current samples, in their unit
    baseline: float  #: the same of the baseline
    ratio: float  #: current / baseline
    low: float  #: 95 % interval of the ratio, by inverting the same test
    high: float
    n: int  #: current samples
    m: int  #: baseline samples
    p_worse: float  #: p-value for "not slower"
    p_beyond: float  #: p-value for "slower by no more than the limit"
    p_fine: float  #: p-value for "slower by twice the limit or more"
    mde: float | None  #: smallest regression that would be seen (0.21 is +21 %), when neither is proven
    more: (
        int | None
    )  #: how many more samples would likely settle it; None when decided, or when no number would
    warnings: tuple[str, ...]  #: plain sentences


def looks(iterations: int, maximum: int) -> tuple[int, ...]:
    """Sample counts at which the gate looks: doubling from *iterations*, the last is *maximum*."""
    if maximum <= iterations:
        return (iterations,)
    counts = [iterations]
    while counts[-1] * 2 < maximum:
        counts.append(counts[-1] * 2)
    return (*counts, maximum)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """Two samples as the test sees them: logarithms, and how far noise alone separates them."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    q: float
    apart: float  #: standard deviation of what separates them beyond chance
    x_error: float  #: standard error of the quantile of x, correlation included
    y_error: float
    beyond_chance: float  #: the part of *apart* that more samples do not reduce

    def worse(self, shift: float) -> float:
        """p-value for "the ratio is at most exp(shift)"."""
        return p_value(self.x, self.y, q=self.q, shift=shift, noise=self.apart)

    def better(self, shift: float) -> float:
        """p-value for "the ratio is at least exp(shift)"."""
        return p_value(self.y, self.x, q=self.q, shift=-shift, noise=self.apart)

    def error(self, n: float) -> float:
        """Standard error of the logarithm of the ratio with *n* current samples."""
        return math.sqrt(self.beyond_chance**2 + self.y_error**2 + self.x_error**2 * self.x.size / n)


def decide(  # noqa: PLR0913  one argument for each thing the rule depends on
    current: Sequence[float],
    runs: Sequence[Sequence[float]],
    *,
    quantile: float = 0.95,
    max_regression: float = 0.10,
    look: int = 0,
    looks: tuple[int, ...] = (),
    run_effect: float | None = None,
    alpha: float = ALPHA,
    interleaved: bool = False,
) -> Decision:
    """Decide whether *current* regressed against the stored *runs*; lower is better.

    *current* and each run are positive times in the order they were measured. *look* is the index
    of this look among *looks*; *run_effect* the run-to-run noise pooled by the caller
    (:func:`run_effect`; None: 3 % is assumed). *interleaved*: the two arms of one run, so there is
    no run-to-run noise.

    Raises ValueError on an empty, NaN, infinite or negative input, naming it.
    """
    now = checked(current, "current")
    stored = [checked(run, f"stored run {number}") for number, run in enumerate(runs, 1)]
    if not stored:
        raise ValueError("runs: no stored run")
    if not max_regression > 0:
        raise ValueError(f"max_regression: {max_regression} is not above 0")
    base = np.concatenate(stored)
    q, warnings = quantile, []
    few = min(now.size, base.size) < needed(quantile)
    if few:
        q = 0.5
        warnings.append(
            f"only {min(now.size, base.size)} samples: p{quantile * 100:g} needs {needed(quantile)}, so p50 was gated instead"
        )
    evidence = _evidence(now, stored, q, run_effect=run_effect, interleaved=interleaved)
    if run_effect is None and not interleaved:
        warnings.append(f"{_stored_runs(len(stored))}: assumed {noise.ASSUMED:.0%} run-to-run noise")
    warnings += _remarks(now)
    observed, baseline = float(np.quantile(now, q)), float(np.quantile(base, q))
    ratio = _ratio(observed, baseline)
    counts = looks or (now.size,)
    step, last = min(look, len(counts) - 1), look + 1 >= len(counts)
    margin, twice = math.log1p(max_regression), math.log1p(2 * max_regression)
    p_worse, p_beyond, p_fine = evidence.worse(0.0), evidence.worse(margin), evidence.better(twice)
    level = alpha / len(counts)
    if p_worse <= level and p_beyond <= BEYOND:
        outcome = Outcome.REGRESSED
    elif evidence.better(0.0) <= level and evidence.better(-margin) <= BEYOND:
        outcome = Outcome.IMPROVED
    elif p_fine <= FINE * counts[step] / sum(counts) and ratio <= 1 + max_regression:
        outcome = Outcome.PASSED
    else:
        outcome = Outcome.UNPROVEN if ratio > 1 + max_regression else Outcome.INCONCLUSIVE
    if few and outcome in {Outcome.PASSED, Outcome.IMPROVED}:
        outcome = Outcome.INCONCLUSIVE
    open_ = outcome in {Outcome.UNPROVEN, Outcome.INCONCLUSIVE}
    low, high = _interval(evidence)
    return Decision(
        outcome=outcome,
        final=last or not open_,
        observed=observed,
        baseline=baseline,
        ratio=ratio,
        low=low,
        high=high,
        n=now.size,
        m=base.size,
        p_worse=p_worse,
        p_beyond=p_beyond,
        p_fine=p_fine,
        mde=_smallest_seen(evidence, level, margin) if open_ else None,
        more=_more(evidence, math.log(ratio), level=level, margin=margin, twice=twice)
        if open_ and 0 < ratio < math.inf
        else None,
        warnings=tuple(warnings),
    )


def _ratio(observed: float, baseline: float) -> float:
    if baseline > 0:
        return observed / baseline
    return 1.0 if observed == 0 else math.inf


def _stored_runs(count: int) -> str:
    return "one stored run" if count == 1 else f"{count} stored runs"


def _remarks(now: NDArray[np.float64]) -> list[str]:
    return []


def _evidence(
    now: NDArray[np.float64],
    stored: list[NDArray[np.float64]],
    q: float,
    *,
    run_effect: float | None,
    interleaved: bool,
) -> _Evidence:
    x, series = noise.logs(now), [noise.logs(run) for run in stored]
    y = np.concatenate(series)
    x_error, y_error = standard_error(x, q), standard_error(y, q)
    tau = 0.0 if interleaved else noise.ASSUMED if run_effect is None else run_effect
    x_factor = noise.inflation(x)
    y_factor = float(np.mean([noise.inflation(one) for one in series]))
    chance = (x_factor - 1) * x_error**2 + (y_factor - 1) * y_error**2
    beyond = tau * tau * (1 + 1 / len(stored))
    return _Evidence(
        x=x,
        y=y,
        q=q,
        apart=math.sqrt(beyond + chance),
        x_error=x_error * math.sqrt(x_factor),
        y_error=y_error * math.sqrt(y_factor),
        beyond_chance=math.sqrt(beyond),
    )


def _interval(evidence: _Evidence) -> tuple[float, float]:
    """95 % interval of the ratio: the ratios that neither one-sided test rejects."""
    wide = (
        float(max(evidence.x.max(), evidence.y.max()) - min(evidence.x.min(), evidence.y.min()))
        + 10 * evidence.apart
        + 0.01
    )

    def edge(rejected: float, kept: float, p: object) -> float:
        for _ in range(40):
            middle = (rejected + kept) / 2
            if p(middle) <= _SURE:  # type: ignore[operator]
                rejected = middle
            else:
                kept = middle
        return math.exp(kept)

    low = edge(-wide, wide, evidence.worse) if evidence.worse(-wide) <= _SURE else 0.0
    high = edge(wide, -wide, evidence.better) if evidence.better(wide) <= _SURE else math.inf
    return low, high


def _smallest_seen(evidence: _Evidence, level: float, margin: float) -> float:
    """The regression that is proven 95 times in 100 with as many samples as there are."""
    error = evidence.error(evidence.x.size)
    proof = max(-float(ndtri(level)) * error, margin - float(ndtri(BEYOND)) * error)
    return math.expm1(proof - float(ndtri(0.05)) * error)


def _more(evidence: _Evidence, seen: float, *, level: float, margin: float, twice: float) -> int | None:
    """Samples still missing if what was seen is the truth; None when no number would do."""
    n = evidence.x.size
    for factor in np.geomspace(1.1, 100, 48):
        error = evidence.error(n * factor)
        proven = seen >= max(-float(ndtri(level)) * error, margin - float(ndtri(BEYOND)) * error)
        fine = seen <= margin and twice - seen >= -float(ndtri(FINE / 2)) * error
        if proven or fine:
            return 10 * math.ceil(n * (factor - 1) / 10)
    return None


def decide_plain(current: Sequence[float], runs: Sequence[Sequence[float]], **options: object) -> Decision:
    """Decide by the bare rule: the point estimate past the limit is a regression, proven or not."""
    decision = decide(current, runs, **options)  # type: ignore[arg-type]
    limit = 1 + float(options.get("max_regression", 0.10))  # type: ignore[arg-type]
    outcome = Outcome.REGRESSED if decision.ratio > limit else Outcome.PASSED
    return replace(decision, outcome=outcome, final=True, mde=None, more=None)


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
    """Decide whether a share of successes fell by more than *margin* (0.05: five points); higher is better.

    regressed: Fisher's exact test proves a fall, and Agresti and Caffo's interval lies past the
    margin at 90 %. passed: a fall of twice the margin is ruled out at 95 %, and the fall seen is
    within the margin. The ratio is of the shares.
    """
    counts = looks or (trials,)
    last = look + 1 >= len(counts)
    p_worse = proportion.fisher(successes, trials, base_successes, base_trials)
    p_better = proportion.fisher(base_successes, base_trials, successes, trials)
    fall, error = proportion.drop(successes, trials, base_successes, base_trials)
    share, base = successes / trials, base_successes / base_trials
    p_beyond, p_fine = (
        proportion.at_most(fall, error, margin),
        1 - proportion.at_most(fall, error, 2 * margin),
    )
    level = alpha / len(counts)
    if p_worse <= level and p_beyond <= BEYOND:
        outcome = Outcome.REGRESSED
    elif p_better <= level and proportion.at_most(-fall, error, margin) <= BEYOND:
        outcome = Outcome.IMPROVED
    elif p_fine <= FINE and base - share <= margin:
        outcome = Outcome.PASSED
    else:
        outcome = Outcome.UNPROVEN if base - share > margin else Outcome.INCONCLUSIVE
    open_ = outcome in {Outcome.UNPROVEN, Outcome.INCONCLUSIVE}
    reach = -float(ndtri(_SURE)) * error
    return Decision(
        outcome=outcome,
        final=last or not open_,
        observed=share,
        baseline=base,
        ratio=_ratio(share, base),
        low=_ratio(max(0.0, base - fall - reach), base),
        high=_ratio(min(1.0, base - fall + reach), base),
        n=trials,
        m=base_trials,
        p_worse=p_worse,
        p_beyond=p_beyond,
        p_fine=p_fine,
        mde=max(-float(ndtri(level)) * error, margin - float(ndtri(BEYOND)) * error)
        - float(ndtri(0.05)) * error
        if open_
        else None,
        more=None,
        warnings=(),
    )
