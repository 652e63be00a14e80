"""What makes two runs of the same code differ: run effects, and requests that remember each other.

Functions on *rows* take one time-ordered series of logarithms per row and give one number per
row; those on *ranks* take what `ranked` makes of the rows, which several of them need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtri

from pytest_llmperf.core.decision import ASSUMED, FEWEST_RUNS
from pytest_llmperf.core.quantile import checked, logs, variance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_PRIOR_DEGREES: Final = 2.0  #: what the assumed run effect weighs beside the measured one
_SUSPECT: Final = 2.5  #: standard errors of lag-1 correlation below which requests count as independent
_CERTAIN: Final = 3.5  #: and from which the whole correlation counts
_SHORTEST: Final = 16  #: values below which neither correlation nor quarters are looked at
_SHORT: Final = 64  #: values below which a run is taken to be correlated at least as longer ones are
_QUARTERS: Final = 4
_EIGHTHS: Final = 8
#: Variance between the eighths of a run, as a multiple of chance, that independent requests show in 6 of 1000
#: runs, and in 2 of 10 000 (chi-square with 7 degrees of freedom): nothing counts below, all of it above.
_BURSTY: Final = (2.8, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Variances of the difference of two log quantiles, one number per gate."""

    current: NDArray[np.float64]  #: of the current quantile; falls with more samples
    base: NDArray[np.float64]  #: of the baseline quantile
    lasting: NDArray[np.float64]  #: run effect; no number of samples in this run reduces it
    beyond_chance: NDArray[
        np.float64
    ]  #: what independent samples would not show: *lasting* and the correlation


def ranked(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks within each row as shares between 0 and 1; ties share one."""
    n = rows.shape[1]
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    new = np.ones(rows.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    place = np.arange(n)
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.ones(rows.shape, dtype=bool)
    ends[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
    places = np.empty(rows.shape)
    np.put_along_axis(places, order, ((first + last) / 2 + 0.5) / n, axis=1)
    return places


def normal_scores(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks as quantiles of the normal distribution, mean zero."""
    scores: NDArray[np.float64] = ndtri(ranks)
    scores -= scores.mean(axis=1, keepdims=True)
    return scores


def correlations(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of normal scores at lags 1 to a quarter of the length; 0 where they do not vary."""
    n = ranks.shape[1]
    spectrum = np.fft.rfft(normal_scores(ranks), n=1 << (n + n // 4).bit_length(), axis=1)
    power = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, axis=1)
    whole = power[:, :1]
    return np.where(whole > 0, power[:, 1 : n // 4 + 1] / np.where(whole > 0, whole, 1), 0.0)


def memory(ranks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How surely each row's requests are correlated (0..1), and how much more a quantile then varies.

    The factor, at least 1, is 1 + 2 x the sum of the correlations up to the first that noise alone
    could give: 200 requests with a factor of 10 know as much as 20 independent ones. It is estimated from the
    same few samples, so it counts only as far as lag 1 is certain to be correlated.
    """
    gates, n = ranks.shape
    if n < _SHORTEST:
        return np.zeros(gates), np.ones(gates)
    lags = correlations(ranks)
    real = np.minimum.accumulate(lags > 1 / math.sqrt(n), axis=1)
    factor = 1 + 2 * np.where(real, lags, 0.0).sum(axis=1)
    certainty = (lags[:, 0] * math.sqrt(n) - _SUSPECT) / (_CERTAIN - _SUSPECT)
    return np.clip(certainty, 0.0, 1.0), factor


def bursts(ranks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How surely the slow requests of each row came together (0..1), and how much more its tail then varies.

    A machine that is busy for a while makes every other request slow for that while: neighbours differ,
    so `memory` sees little, and yet p95 is that of the bad stretch. The factor, at least 1, is the variance
    between the eighths of the row, of exponential scores, which weigh the tail, as a multiple of what
    chance gives.
    """
    gates, n = ranks.shape
    if n < _SHORTEST:
        return np.zeros(gates), np.ones(gates)
    scores = -np.log1p(-ranks)
    eighths = scores[:, : n // _EIGHTHS * _EIGHTHS].reshape(gates, _EIGHTHS, -1)
    chance = scores.var(axis=1, ddof=1) / eighths.shape[2]
    seen = eighths.mean(axis=2).var(axis=1, ddof=1)
    factor = np.where(chance > 0, seen / np.where(chance > 0, chance, 1), 1.0)
    low, high = _BURSTY
    return np.clip((factor - low) / (high - low), 0.0, 1.0), np.maximum(1.0, factor)


def _together(
    runs: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """How surely requests depend on each other, and the factor that this puts on the variance in each run.

    Correlation that is certain in one run counts in all of them, also in those too short to show it; a burst
    is that of its run.
    """
    known = [(memory(ranks), bursts(ranks)) for ranks in map(ranked, runs)]
    correlated = np.max([sure for (sure, _), _ in known], axis=0)
    bursty = np.max([sure for _, (sure, _) in known], axis=0)
    longer = [factor for run, ((_, factor), _) in zip(runs, known, strict=True) if run.shape[1] >= _SHORT]
    factors = []
    for run, ((_, factor), (own, excess)) in zip(runs, known, strict=True):
        shown = factor if run.shape[1] >= _SHORT else np.max([factor, *longer], axis=0)
        factors.append(np.maximum(1 + correlated * (shown - 1), 1 + own * (excess - 1)))
    return np.maximum(correlated, bursty), factors


def wander(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance between the quarters of each row beyond what independent values would show.

    Noise of real machines is as large from hour to hour as from quarter to quarter of a run, so
    this stands for the run effect where there are too few stored runs to see it.
    """
    n = rows.shape[1] // _QUARTERS * _QUARTERS
    if n < _SHORTEST:
        return np.zeros(rows.shape[0])
    quarters = rows[:, :n].reshape(rows.shape[0], _QUARTERS, -1)
    inside = quarters.var(axis=2, ddof=1).mean(axis=1) / quarters.shape[2]
    excess: NDArray[np.float64] = np.maximum(0.0, quarters.mean(axis=2).var(axis=1, ddof=1) - inside)
    return excess


def between(
    current: NDArray[np.float64],
    runs: Sequence[NDArray[np.float64]],
    *,
    q: float,
    run_effect: float | None,
) -> Noise:
    """What separates the log quantiles of *current* and of the pooled *runs* when nothing changed.

    *run_effect* None: nobody knows how much runs differ. Then 3 % is assumed, and where requests
    are correlated, which is how a busy machine shows, the wandering inside the runs is added.
    """
    certainty, (current_factor, *base_factors) = _together([current, *runs])
    base_factor = np.mean(base_factors, axis=0)
    current_chance = variance(current, q)
    base_chance = variance(np.concatenate(runs, axis=1), q)
    if run_effect is None:
        effect = ASSUMED**2 + certainty * np.max([wander(current), *map(wander, runs)], axis=0)
    else:
        effect = np.full(current.shape[0], run_effect**2)
    lasting = effect * (1 + 1 / len(runs))
    return Noise(
        current=current_chance * current_factor,
        base=base_chance * base_factor,
        lasting=lasting,
        beyond_chance=lasting + current_chance * (current_factor - 1) + base_chance * (base_factor - 1),
    )


def run_effect(scenarios: Iterable[Sequence[Sequence[float]]], *, quantile: float) -> float | None:
    """Standard deviation between runs of the logarithm of a quantile, pooled over scenarios.

    Each scenario gives its stored runs; what chance and correlation inside the runs explain is
    taken off. What the runs show is taken one standard error too large, and at least 3 % divided
    by the root of half their number, so that a handful of runs that happen to agree does not count
    as silence. None when no scenario has three runs.
    """
    excess, doubt, degrees = 0.0, 0.0, 0
    for runs in scenarios:
        if len(runs) < FEWEST_RUNS:
            continue
        series = [logs(checked(run, f"stored run {number}"))[None, :] for number, run in enumerate(runs, 1)]
        seen = float(np.var([np.quantile(one, quantile) for one in series], ddof=1))
        inside = float(np.mean([_inside(one, quantile) for one in series]))
        excess += (len(runs) - 1) * (seen - inside)
        doubt += 2 * (len(runs) - 1) * seen**2
        degrees += len(runs) - 1
    # Clipped at zero only after pooling: clipped one by one, quiet scenarios would add up to noise.
    likely = max(0.0, excess + math.sqrt(doubt)) + _PRIOR_DEGREES * ASSUMED**2
    return math.sqrt(likely / degrees) if degrees else None


def _inside(series: NDArray[np.float64], q: float) -> float:
    """Variance of a log quantile that its own run explains."""
    _, (factor,) = _together([series])
    return float((variance(series, q) * factor)[0])
