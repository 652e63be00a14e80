"""The gate: whether the data prove a regression, prove that there is none, or neither.

Everything that decides is reached from here. Imports numpy and scipy.special: reach this module
only when there is something to judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from pytest_llmperf.core import remarks
from pytest_llmperf.core.decision import ALPHA, BEYOND, FINE, TAIL, Decision, looks, ratio
from pytest_llmperf.core.evidence import Evidence, Reach, z
from pytest_llmperf.core.limit import LimitDecision, Side, decide_limit, decide_limit_proportion
from pytest_llmperf.core.noise import Noise, between, run_effect
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.permutation import p_values
from pytest_llmperf.core.proportion import decide_proportion
from pytest_llmperf.core.quantile import checked, logs, needed

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
    "decide_many",
    "decide_proportion",
    "looks",
    "run_effect",
    "sight",
]

_ANY: Final = 1000.0  #: a regression that is as good as any larger one: times slower

_logs, _run_effect = logs, run_effect  # arguments below carry the same words


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """The levels one look must meet."""

    worse: float  #: what this look may spend of alpha: its share of all looks' requests
    fine: float  #: what this look may spend of the chance of a wrong "passed"
    margin: float  #: logarithm of the ratio that is allowed
    twice: float  #: logarithm of the ratio that "passed" rules out
    limit: float  #: the ratio that is allowed
    last: bool

    @classmethod
    def of(cls, max_regression: float, look: int, counts: tuple[int, ...], alpha: float) -> _Rule:
        if not 0 < max_regression < math.inf:
            raise ValueError(f"max_regression: {max_regression} is not a finite number above 0")
        step = min(look, len(counts) - 1)
        share = counts[step] / sum(counts)
        return cls(
            worse=alpha * share,
            fine=FINE * share,
            margin=math.log1p(max_regression),
            twice=math.log1p(2 * max_regression),
            limit=1 + max_regression,
            last=step == len(counts) - 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PValues:
    """What the tests say; 1 where there was no need to ask."""

    worse: float
    beyond: float
    fine: float
    better: float
    less: float  #: for "faster by no more than the limit"


def _outcome(p: _PValues, seen: float, rule: _Rule, *, few: bool) -> Outcome:
    """The verdict class: proof of a regression comes first; few samples of p95 prove only harm."""
    if p.worse <= rule.worse and p.beyond <= BEYOND:
        return Outcome.REGRESSED
    if not few and p.better <= rule.worse and p.less <= BEYOND:
        return Outcome.IMPROVED
    if seen > rule.limit:
        return Outcome.UNPROVEN
    return Outcome.PASSED if not few and p.fine <= rule.fine else Outcome.INCONCLUSIVE


def decide(
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
    metric: str = "latency",
) -> Decision:
    """Decide whether *current* regressed against the stored *runs*; lower is better.

    *current* and each run are times in the order in which they were measured. *look* is the index
    of this look among *looks*. *run_effect* is the run-to-run noise known to the caller
    (:func:`run_effect`); None: the runs' own when there are three, else 3 % is assumed and what
    correlated requests give away is added. *interleaved*: two arms of one run, so there is no run
    effect; of equal length, the i-th values are a pair. *metric*: what warnings call the values.

    - regressed: "not slower" has p <= this look's part of alpha (all looks share it by their number of
      requests), and "slower by no more than the limit" p <= 0.10.
    - improved: the same with the arms swapped.
    - passed: "slower by twice the limit" is ruled out, and the observed ratio is within the limit.
    - unproven: the observed ratio is past the limit, and the proof fails. Else inconclusive.

    Raises ValueError on an empty, NaN, infinite or negative input, naming it.
    """
    now = checked(current, "current")
    stored = [checked(run, f"stored run {number}") for number, run in enumerate(runs, 1)]
    if not stored:
        raise ValueError("runs: no stored run")
    rule = _Rule.of(max_regression, look, looks or (now.size,), alpha)
    base = np.concatenate(stored)
    few = min(now.size, base.size) < needed(quantile)
    q = 0.5 if few else quantile
    x, y = _logs(now), _logs(base)
    effect = 0.0 if interleaved else run_effect
    if effect is None:
        effect = _run_effect([runs], quantile=q)
    noise = between(x[None, :], [_logs(run)[None, :] for run in stored], q=q, run_effect=effect)
    evidence = Evidence(
        x=x,
        y=y,
        q=q,
        beyond_chance=0.0 if interleaved else math.sqrt(float(noise.beyond_chance[0])),
        in_pairs=interleaved and x.size == y.size,
    )
    observed, baseline = float(np.quantile(now, q)), float(np.quantile(base, q))
    seen = ratio(observed, baseline)
    p = _PValues(
        worse=evidence.no_slower(),
        beyond=evidence.worse(rule.margin),
        fine=evidence.better(rule.twice),
        better=evidence.no_faster(),
        less=evidence.better(-rule.margin),
    )
    outcome = _outcome(p, seen, rule, few=few)
    low, high = evidence.interval()
    reach = Reach(
        n=now.size,
        **_variances(noise, (low, high), interleaved=interleaved),
        alpha=alpha,
        looks=looks or (now.size,),
        margin=rule.margin,
        twice=rule.twice,
    )
    undecided = outcome in {Outcome.UNPROVEN, Outcome.INCONCLUSIVE}
    mde = _smallest(reach.smallest_seen(now.size), evidence, rule, seen) if undecided else None
    blind = reach.blind() if undecided else None
    # then more requests alone prove nothing
    base_is_short = mde == math.inf and not interleaved and now.size >= base.size
    warnings = [
        remarks.too_few(min(now.size, base.size), quantile) if few else None,
        remarks.assumed(float(noise.lasting[0]), len(stored)) if effect is None else None,
        remarks.too_noisy(blind, q, metric=metric) if blind is not None else None,
        remarks.drift(x),
        remarks.mode_gap(x, q, metric=metric),
    ]
    return Decision(
        outcome=outcome,
        final=rule.last or blind is not None or not undecided,
        observed=observed,
        baseline=baseline,
        ratio=seen,
        low=low,
        high=high,
        n=now.size,
        m=base.size,
        quantile=q,
        p_worse=p.worse,
        p_beyond=p.beyond,
        p_fine=p.fine,
        mde=mde,
        more=reach.more(math.log(seen)) if undecided and 0 < seen < math.inf and not base_is_short else None,
        warnings=tuple(warning for warning in warnings if warning),
    )


def _smallest(smallest: float, evidence: Evidence, rule: _Rule, seen: float) -> float:
    """The smallest regression that samples like these would prove; infinity where none would.

    By the normal law it is *smallest*, which so few samples may not keep: then the next double that holds.
    """
    if not 0 < seen < math.inf:
        return smallest
    while smallest < _ANY:
        moved = replace(evidence, x=evidence.x + math.log((1 + smallest) / seen))
        if moved.no_slower() <= rule.worse and moved.worse(rule.margin) <= BEYOND:
            return smallest
        smallest *= 2
    return math.inf


def _variances(noise: Noise, interval: tuple[float, float], *, interleaved: bool) -> dict[str, float]:
    """Of the log ratio; of arms in pairs from the width of the interval, since drift cancels in it."""
    low, high = interval
    if interleaved and low > 0 and high < math.inf:
        return {"falling": (math.log(high / low) / (2 * z(TAIL))) ** 2, "base": 0.0, "lasting": 0.0}
    return {
        "falling": float(noise.current[0]),
        "base": float(noise.base[0]),
        "lasting": float(noise.lasting[0]),
    }


def sight(
    runs: Sequence[Sequence[float]],
    *,
    looks: tuple[int, ...],
    quantile: float = 0.95,
    max_regression: float = 0.10,
    run_effect: float | None = None,
) -> float:
    """The smallest regression (0.21: +21 %) that requests like those of *runs* would prove against them.

    95 times in 100, at the last of *looks*. Raises ValueError as `decide` does.
    """
    stored = [checked(run, f"stored run {number}") for number, run in enumerate(runs, 1)]
    if not stored:
        raise ValueError("runs: no stored run")
    q = 0.5 if min(looks[-1], sum(run.size for run in stored)) < needed(quantile) else quantile
    effect = _run_effect([runs], quantile=q) if run_effect is None else run_effect
    series = [_logs(run)[None, :] for run in stored]
    noise = between(series[-1], series, q=q, run_effect=effect)
    reach = Reach(
        n=stored[-1].size,
        falling=float(noise.current[0]),
        base=float(noise.base[0]),
        lasting=float(noise.lasting[0]),
        alpha=ALPHA,
        looks=looks,
        margin=math.log1p(max_regression),
        twice=math.log1p(2 * max_regression),
    )
    return reach.smallest_seen(looks[-1])


def decide_many(
    current: NDArray[np.float64],
    runs: Sequence[NDArray[np.float64]],
    *,
    quantile: float = 0.95,
    max_regression: float = 0.10,
    look: int = 0,
    looks: tuple[int, ...] = (),
    run_effect: float | None = None,
    alpha: float = ALPHA,
) -> list[Outcome]:
    """:func:`decide` for many gates of the same shape at once, the outcomes only.

    *current* is gates x n; each run is gates x its own length. With *run_effect* None, 3 % and
    what correlation gives away is assumed, however many runs there are.
    """
    rule = _Rule.of(max_regression, look, looks or (current.shape[1],), alpha)
    outcomes: list[Outcome] = []
    size = current.shape[1] + sum(run.shape[1] for run in runs)
    step = max(1, (1 << 20) // size)
    for start in range(0, current.shape[0], step):
        part = slice(start, start + step)
        outcomes += _many(current[part], [run[part] for run in runs], quantile, run_effect, rule)
    return outcomes


def _many(
    now: NDArray[np.float64],
    stored: list[NDArray[np.float64]],
    quantile: float,
    effect: float | None,
    rule: _Rule,
) -> list[Outcome]:
    base = np.concatenate(stored, axis=1)
    few = min(now.shape[1], base.shape[1]) < needed(quantile)
    q = 0.5 if few else quantile
    x, y = _logs(now), _logs(base)
    apart = np.sqrt(between(x, [_logs(run) for run in stored], q=q, run_effect=effect).beyond_chance)
    seen = np.quantile(now, q, axis=1) / np.quantile(base, q, axis=1)

    def ask(
        rows: NDArray[np.bool_], one: NDArray[np.float64], other: NDArray[np.float64], shift: float
    ) -> NDArray[np.float64]:
        answers = np.ones(rows.size)
        if rows.any():
            answers[rows] = p_values(one[rows], other[rows], q=q, shift=shift, noise=apart[rows])
        return answers

    # The nearest ranks and the interpolated quantiles that *seen* compares can differ in order.
    worse = ask(seen > 0.99, x, y, 0.0)
    beyond = ask(worse <= rule.worse, x, y, rule.margin)
    better = ask(seen < 1.01, y, x, 0.0)
    less = ask(better <= rule.worse, y, x, rule.margin)
    fine = ask(seen <= rule.limit, y, x, -rule.twice)
    return [
        _outcome(_PValues(worse=a, beyond=b, fine=c, better=d, less=e), ratio_, rule, few=few)
        for a, b, c, d, e, ratio_ in zip(
            worse.tolist(),
            beyond.tolist(),
            fine.tolist(),
            better.tolist(),
            less.tolist(),
            seen.tolist(),
            strict=True,
        )
    ]
