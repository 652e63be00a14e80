"""How often the gate and its rivals fail a change: the same code, and code slower by 5 to 50 %.

Every number is a simulation with a fixed seed: sessions of 50 scenarios, each with a baseline of
5 stored runs of 200 requests, looks at 30, 60, 120, 240 and 480 requests, the run effect pooled
over the session's scenarios, as pytest-llmperf does it. Run: ``python benchmarks/gate_quality.py``
(``--sessions 4`` for a glance).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pytest_llmperf.core import gate
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.permutation import p_values
from pytest_llmperf.core.quantile import rank

Rows = NDArray[np.float64]
Shape = Callable[[np.random.Generator, int, int], Rows]  #: logarithms of times, trials x requests

SCENARIOS, RUNS, PER_RUN, FIRST, CAP, Q = 50, 5, 200, 30, 480, 0.95
EFFECTS = (1.0, 1.05, 1.10, 1.15, 1.20, 1.30, 1.50)
OPEN = (Outcome.INCONCLUSIVE, Outcome.UNPROVEN)


def lognormal(sigma: float) -> Shape:
    return lambda rng, trials, n: rng.normal(0, sigma, (trials, n))


def bimodal(slow: float) -> Shape:
    """A share of *slow* requests takes 2.5 times as long (cache misses)."""
    return lambda rng, trials, n: (
        rng.normal(0, 0.1, (trials, n)) + np.log(2.5) * (rng.random((trials, n)) < slow)
    )


def heavy(rng: np.random.Generator, trials: int, n: int) -> Rows:
    """Logarithms with Student's t, 3 degrees of freedom: one request in 1000 takes 8 times the median."""
    return 0.2 * rng.standard_t(3, (trials, n))


def correlated(rng: np.random.Generator, trials: int, n: int) -> Rows:
    """Each request remembers 60 % of the one before; sigma 0.3."""
    rows = np.empty((trials, n))
    rows[:, 0] = rng.normal(0, 0.3, trials)
    for i in range(1, n):
        rows[:, i] = 0.6 * rows[:, i - 1] + rng.normal(0, 0.3 * 0.8, trials)
    return rows


SHAPES: dict[str, Shape] = {
    "lognormal 0.1": lognormal(0.1),
    "lognormal 0.3": lognormal(0.3),
    "lognormal 0.6": lognormal(0.6),
    "bimodal 80/20": bimodal(0.20),
    "bimodal 94/6": bimodal(0.06),
    "heavy tail": heavy,
    "AR(1) 0.6": correlated,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """What one kind of scenario measured: times, not logarithms."""

    current: Rows  #: (sessions x scenarios) x cap
    runs: list[Rows]


def measure(
    rng: np.random.Generator, shape: Shape, noise: float, sessions: int, *, cap: int = CAP, runs: int = RUNS
) -> Sessions:
    """Simulate *sessions* with *noise* of a run effect on every run."""
    trials = sessions * SCENARIOS

    def run(n: int) -> Rows:
        return np.exp(shape(rng, trials, n) + rng.normal(0, noise, (trials, 1)))

    return Sessions(current=run(cap), runs=[run(PER_RUN) for _ in range(runs)])


def decide(data: Sessions, effect: float, *, known: bool = True) -> tuple[list[Outcome], NDArray[np.int64]]:
    """Final outcome and requests spent, per trial; *known*: the run effect is pooled from the stored runs."""
    now = data.current * effect
    looks = gate.looks(FIRST, now.shape[1])
    outcomes = [Outcome.INCONCLUSIVE] * now.shape[0]
    spent = np.zeros(now.shape[0], dtype=np.int64)
    for start in range(0, now.shape[0], SCENARIOS):
        session = np.arange(start, start + SCENARIOS)
        tau = gate.run_effect([[run[i] for run in data.runs] for i in session], quantile=Q) if known else None
        for look, n in enumerate(looks):
            left = np.array([i for i in session if look == 0 or outcomes[i] in OPEN], dtype=np.intp)
            if left.size == 0:
                break
            found = gate.decide_many(
                now[left, :n], [run[left] for run in data.runs], looks=looks, look=look, run_effect=tau
            )
            for i, outcome in zip(left.tolist(), found, strict=True):
                outcomes[i], spent[i] = outcome, n
    return outcomes, spent


def naive(now: Rows, base: Rows) -> NDArray[np.bool_]:
    """The observed p95 is past the limit."""
    return np.quantile(now, Q, axis=1) > 1.1 * np.quantile(base, Q, axis=1)


def mann_whitney(now: Rows, base: Rows) -> NDArray[np.bool_]:
    """One-sided Mann-Whitney test at 5 %."""
    n, m = now.shape[1], base.shape[1]
    order = np.argsort(np.concatenate((now, base), axis=1), axis=1)
    ranks = np.empty(order.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, n + m + 1)[None, :], axis=1)
    u = ranks[:, :n].sum(axis=1) - n * (n + 1) / 2
    return ndtr(-(u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)) <= 0.05


def bootstrap(now: Rows, base: Rows) -> NDArray[np.bool_]:
    """The 95 % bootstrap interval of the ratio of p95 is above 1, and the ratio observed past the limit."""
    rng = np.random.default_rng(7)

    def resampled(rows: Rows) -> Rows:
        n = rows.shape[1]
        k = rank(n, Q)  # a resample's k-th value is the original's at a beta-distributed place
        places = np.ceil(n * rng.beta(k, n - k + 1, (rows.shape[0], 400))).astype(int) - 1
        return np.take_along_axis(np.sort(rows, axis=1), places, axis=1)

    low = np.quantile(resampled(now) / resampled(base), 0.025, axis=1)
    return (low > 1) & naive(now, base)


def one_look(now: Rows, base: Rows) -> NDArray[np.bool_]:
    """The exact test alone, without looks, margin or run effect, at 5 %."""
    return p_values(np.log(now), np.log(base), q=Q) <= 0.05


RIVALS = {
    "p95 > 1.10 x baseline": naive,
    "Mann-Whitney, 5 %": mann_whitney,
    "bootstrap interval": bootstrap,
    "permutation, 5 %": one_look,
}


def table(title: str, shapes: dict[str, Shape], noises: tuple[float, ...], sessions: int) -> None:
    """Print fail rates of the gate."""
    print(f"\n{title}: % of scenarios that fail, by true change of every request")
    print(f"{'':16}{'run noise':>10}" + "".join(f"{100 * (e - 1):+6.0f} %" for e in EFFECTS), end="")
    print("   sessions with a false alarm   requests when unchanged   undecided when unchanged")
    for name, shape in shapes.items():
        for noise in noises:
            data = measure(np.random.default_rng(11), shape, noise, sessions)
            cells, note = "", ""
            fewer = Sessions(
                current=data.current[: SCENARIOS * (sessions // 2)],
                runs=[run[: SCENARIOS * (sessions // 2)] for run in data.runs],
            )
            for effect in EFFECTS:
                outcomes, spent = decide(data if effect == 1 else fewer, effect)
                failed = np.array([outcome is Outcome.REGRESSED for outcome in outcomes])
                cells += f"{100 * failed.mean():8.2f}" if effect == 1 else f"{100 * failed.mean():8.1f}"
                if effect == 1:
                    alarms = failed.reshape(-1, SCENARIOS).any(axis=1).mean()
                    undecided = np.mean([outcome in OPEN for outcome in outcomes])
                    note = f"{100 * alarms:28.1f} %{spent.mean():26.0f}{100 * undecided:24.0f} %"
            print(f"{name:16}{100 * noise:8.0f} %{cells}{note}", flush=True)


def rivals(sessions: int) -> None:
    """Print fail rates of rules that are in use elsewhere, on the same data."""
    print("\nother rules, one look, baseline 1000: % of scenarios that fail, unchanged / +5 % / +20 %")
    columns = [(n, noise) for n in (30, CAP) for noise in (0.0, 0.05)]
    print(f"{'':16}{'':24}" + "".join(f"   n = {n:3}, noise {100 * noise:1.0f} %" for n, noise in columns))
    for name, shape in SHAPES.items():
        for title, rule in RIVALS.items():
            cells = ""
            for n, noise in columns:
                data = measure(np.random.default_rng(11), shape, noise, sessions)
                base = np.concatenate(data.runs, axis=1)
                rates = [100 * rule(data.current[:, :n] * effect, base).mean() for effect in (1.0, 1.05, 1.2)]
                cells += f"{rates[0]:8.1f}/{rates[1]:5.1f}/{rates[2]:5.1f}"
            print(f"{name:16}{title:24}{cells}", flush=True)


def few_runs(sessions: int) -> None:
    """Print what one stored run can do on a quiet machine."""
    print("\none stored run (3 % run-to-run noise assumed; the machine has 1.4 %), cap 480: % that fail")
    for sigma in (0.1, 0.2, 0.3):
        for size in (1, 5):
            data = measure(np.random.default_rng(13), lognormal(sigma), 0.014, sessions, runs=size)
            one = Sessions(current=data.current, runs=[np.concatenate(data.runs, axis=1)])
            rates = [
                np.mean([o is Outcome.REGRESSED for o in decide(one, e, known=False)[0]])
                for e in (1.0, 1.2, 1.3, 1.5)
            ]
            cells = "".join(
                f"   {label} {100 * rate:6.2f}"
                for label, rate in zip(("same", "+20 %", "+30 %", "+50 %"), rates, strict=True)
            )
            print(f"sigma {sigma}, baseline {size * PER_RUN:4}{cells}", flush=True)


def longer(sessions: int) -> None:
    """Print what a cap of 960 requests catches."""
    data = measure(np.random.default_rng(17), lognormal(0.3), 0.0, sessions, cap=960)
    rates = [np.mean([o is Outcome.REGRESSED for o in decide(data, e)[0]]) for e in (1.0, 1.1, 1.2, 1.3)]
    print(
        "\ncap 960, lognormal 0.3: same, +10, +20, +30 % fail: "
        + ", ".join(f"{100 * rate:.1f} %" for rate in rates)
    )


def interleaved(trials: int) -> None:
    """Print fail rates of interleaved arms on a machine that wanders by 10 % within and between runs."""
    print("\ninterleaved arms, machine wandering by 10 %: % that fail (requests per arm)")
    for name, shape in SHAPES.items():
        rng = np.random.default_rng(19)
        cells = ""
        for effect in (1.0, 1.05, 1.20, 1.30):
            count = trials * 4 if effect == 1 else trials
            both = np.exp(shape(rng, count, 2 * CAP) + _wandering(rng, count, 2 * CAP)).reshape(count, CAP, 2)
            first = rng.random((count, CAP)) < 0.5
            a = np.where(first, both[:, :, 0], both[:, :, 1]) * effect
            b = np.where(first, both[:, :, 1], both[:, :, 0])
            results = [_interleaved(one, other) for one, other in zip(a, b, strict=True)]
            failed, spent = np.mean(results, axis=0)
            cells += f"   {100 * (effect - 1):+3.0f} %: {100 * failed:6.2f} ({spent:3.0f})"
        print(f"{name:16}{cells}   of {trials} ({4 * trials} unchanged)", flush=True)


def _interleaved(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[bool, int]:
    looks = gate.looks(FIRST, a.size)
    for look, n in enumerate(looks):
        decision = gate.decide(a[:n].tolist(), [b[:n].tolist()], look=look, looks=looks, interleaved=True)
        if decision.final:
            break
    return decision.outcome is Outcome.REGRESSED, n


def bulk_only(trials: int) -> None:
    """Print how often interleaved arms fail when only requests below p90 got slower, by 30 %."""
    rng = np.random.default_rng(29)
    print("\ninterleaved arms, bulk slower by 30 % and tail as before: % that fail")
    for sigma in (0.1, 0.3, 0.6):
        top = 1.2816 * sigma
        failed = 0
        for _ in range(trials):
            a, b = rng.normal(0, sigma, CAP), rng.normal(0, sigma, CAP)
            a = np.where(a < top, np.minimum(a + np.log(1.3), top), a)
            failed += _interleaved(np.exp(a), np.exp(b))[0]
        print(f"lognormal {sigma}   {100 * failed / trials:.1f}", flush=True)


def limits(trials: int) -> None:
    """Print how often an absolute limit is called broken, by where the truth lies."""
    rng = np.random.default_rng(31)
    print("\na limit of 150 ms for p95, lognormal 0.3: % called broken (requests)")
    for p95 in (75, 120, 140, 150, 160, 180, 300):
        rows = np.exp(rng.normal(0, 0.3, (trials, CAP)) - 1.6449 * 0.3) * p95
        cells = ""
        for cap in (FIRST, CAP):
            results = [_limit(row, 150, gate.looks(FIRST, cap)) for row in rows]
            broken, spent = np.mean(results, axis=0)
            cells += f"   cap {cap}: {100 * broken:5.1f} ({spent:3.0f})"
        print(f"true p95 {p95:3} ms{cells}", flush=True)
    print("\na limit of 0.98 for a share: % called broken (requests)")
    for share in (0.999, 0.99, 0.98, 0.95, 0.9):
        rows = rng.random((trials, CAP)) < share
        cells = ""
        for cap in (FIRST, CAP):
            results = [_share(row, 0.98, gate.looks(FIRST, cap)) for row in rows]
            broken, spent = np.mean(results, axis=0)
            cells += f"   cap {cap}: {100 * broken:5.1f} ({spent:3.0f})"
        print(f"true share {share:5}{cells}", flush=True)


def _limit(row: NDArray[np.float64], bound: float, looks: tuple[int, ...]) -> tuple[bool, int]:
    for look, n in enumerate(looks):
        decision = gate.decide_limit(row[:n].tolist(), bound, quantile=Q, look=look, looks=looks)
        if decision.final:
            break
    return decision.side is gate.Side.BROKEN, n


def _share(row: NDArray[np.bool_], bound: float, looks: tuple[int, ...]) -> tuple[bool, int]:
    for look, n in enumerate(looks):
        decision = gate.decide_limit_proportion(int(row[:n].sum()), n, bound, look=look, looks=looks)
        if decision.final:
            break
    return decision.side is gate.Side.BROKEN, n


def _wandering(rng: np.random.Generator, trials: int, n: int) -> Rows:
    steps = rng.normal(0, 0.1 * np.sqrt(1 - 0.99**2), (trials, n))
    rows = np.empty((trials, n))
    rows[:, 0] = rng.normal(0, 0.1, trials)
    for i in range(1, n):
        rows[:, i] = 0.99 * rows[:, i - 1] + steps[:, i]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=40, help="sessions of 50 unchanged scenarios")
    parser.add_argument("--trials", type=int, default=100, help="trials per cell of the interleaved table")
    options = parser.parse_args()
    quiet = {"lognormal 0.1", "lognormal 0.3", "lognormal 0.6"}
    table(
        "the gate",
        {name: SHAPES[name] for name in SHAPES if name in quiet},
        (0.0, 0.03, 0.05, 0.10),
        options.sessions,
    )
    table(
        "the gate",
        {name: SHAPES[name] for name in SHAPES if name not in quiet},
        (0.0, 0.05),
        options.sessions,
    )
    longer(options.sessions)
    few_runs(options.sessions)
    rivals(options.sessions)
    interleaved(options.trials)
    bulk_only(options.trials)
    limits(10 * options.trials)


if __name__ == "__main__":
    main()
