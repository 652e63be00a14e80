"""How often unchanged servers "regress": the gate and its rivals on recordings of real machines.

``benchmarks/data/*.csv`` are the same 200 requests to the same server on a busy 2-core machine,
run after run, nothing changed between runs: llama.cpp at one and at eight streams (20 runs each),
vLLM on the CPU (5 runs). Every pair of runs is an unchanged change; a regression is injected by
multiplying the current run. Run: ``python benchmarks/noise_recordings.py``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from pytest_llmperf.core import gate, noise, paired
from pytest_llmperf.core.decision import ASSUMED, FEWEST_RUNS
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.permutation import p_values
from pytest_llmperf.core.quantile import needed, variance

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Rule = Callable[[Rows, list[Rows]], NDArray[np.bool_]]
    Recordings = dict[tuple[str, str], list[NDArray[np.float64]]]

DATA = Path(__file__).parent / "data"
METRICS = ("ttft_ms", "latency_ms", "tpot_ms")
Q, MARGIN = 0.95, math.log(1.1)
SETS = 300


def recordings() -> Recordings:
    """Runs of time-ordered values, for each (file, metric)."""
    result: Recordings = {}
    for path in sorted(DATA.glob("*.csv")):
        rows = list(csv.DictReader(path.open()))
        for metric in METRICS:
            runs: dict[str, list[float]] = {}
            for row in rows:
                runs.setdefault(row["run"], []).append(float(row[metric]))
            result[path.stem, metric] = [np.array(run) for run in runs.values()]
    return result


def proven(x: Rows, y: Rows, apart: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    """Regressed by the exact test, with *apart* of noise beyond chance."""
    worse = p_values(x, y, q=Q, noise=apart) <= gate.ALPHA
    return worse & (p_values(x, y, q=Q, shift=MARGIN, noise=apart) <= 0.10)


def naive(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    return np.quantile(now, Q, axis=1) > 1.1 * np.quantile(np.concatenate(runs, axis=1), Q, axis=1)


def independent(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    return proven(np.log(now), np.log(np.concatenate(runs, axis=1)), ASSUMED * math.sqrt(1 + 1 / len(runs)))


def first_order(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    """Variance inflated by (1 + r) / (1 - r), r the lag-1 correlation."""
    x, ys = np.log(now), [np.log(run) for run in runs]

    def factor(rows: Rows) -> NDArray[np.float64]:
        r = np.clip(noise.correlations(noise.ranked(rows))[:, 0], 0, 0.95)
        return 2 * r / (1 - r)

    y = np.concatenate(ys, axis=1)
    spread = variance(x, Q) * factor(x) + variance(y, Q) * np.mean([factor(one) for one in ys], axis=0)
    return proven(x, y, np.sqrt(spread + ASSUMED**2 * (1 + 1 / len(runs))))


def memory_only(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    """The sum of all correlations, and bursts, but no wandering between the quarters."""
    x, ys = np.log(now), [np.log(run) for run in runs]
    return proven(
        x,
        np.concatenate(ys, axis=1),
        np.sqrt(noise.between(x, ys, q=Q, run_effect=ASSUMED).beyond_chance),
    )


def eighths(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    """Excess spread of eight blocks per run, whether or not requests are correlated."""
    x, ys = np.log(now), [np.log(run) for run in runs]

    def excess(rows: Rows) -> NDArray[np.float64]:
        blocks = rows[:, : rows.shape[1] // 8 * 8].reshape(rows.shape[0], 8, -1)
        inside = blocks.var(axis=2, ddof=1).mean(axis=1) / blocks.shape[2]
        return np.maximum(0, blocks.mean(axis=2).var(axis=1, ddof=1) - inside)

    spread = excess(x) + np.mean([excess(y) for y in ys], axis=0) + ASSUMED**2 * (1 + 1 / len(runs))
    return proven(x, np.concatenate(ys, axis=1), np.sqrt(spread))


def effective_samples(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    """Block permutation in effect: each series thinned to as many values as it is worth."""
    x, ys = np.log(now), [np.log(run) for run in runs]
    known = [noise.memory(noise.ranked(rows)) for rows in (x, *ys)]
    factor = 1 + np.max([sure for sure, _ in known], axis=0) * (
        np.mean([much for _, much in known], axis=0) - 1
    )
    y = np.concatenate(ys, axis=1)
    result = []
    for one, other, worth in zip(x, y, factor, strict=True):
        thin = [
            np.quantile(series, (np.arange(count) + 0.5) / count)[None, :]
            for series in (one, other)
            for count in [max(5, round(series.size / worth))]
        ]
        result.append(bool(proven(thin[0], thin[1], ASSUMED * math.sqrt(1 + 1 / len(runs)))[0]))
    return np.array(result)


def shipped(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    """The gate as it is, one look."""
    return np.array([outcome is Outcome.REGRESSED for outcome in _decide(now, runs, (), 0)])


def shipped_looks(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    """The gate as it is, looking at 30, 60, 120 and 200 requests; the first decision stands."""
    looks = gate.looks(30, now.shape[1])
    verdict = [Outcome.INCONCLUSIVE] * now.shape[0]
    open_ = {Outcome.INCONCLUSIVE, Outcome.UNPROVEN}
    for look, n in enumerate(looks):
        outcomes = _decide(now[:, :n], runs, looks, look)
        verdict = [new if old in open_ else old for old, new in zip(verdict, outcomes, strict=True)]
    return np.array([outcome is Outcome.REGRESSED for outcome in verdict])


def _decide(now: Rows, runs: list[Rows], looks: tuple[int, ...], look: int) -> list[Outcome]:
    if len(runs) < FEWEST_RUNS:
        return gate.decide_many(now, runs, looks=looks, look=look)
    result = []
    for row in range(now.shape[0]):  # each set of stored runs has its own run effect
        mine = [run[row] for run in runs]
        effect = gate.run_effect([mine], quantile=Q)
        result += gate.decide_many(
            now[row, None], [run[None] for run in mine], run_effect=effect, looks=looks, look=look
        )
    return result


RULES: dict[str, Rule] = {
    "p95 > 1.10 x baseline": naive,
    "exact test, requests independent": independent,
    "+ first-order correlation": first_order,
    "+ all correlation, and bursts": memory_only,
    "thinned to effective samples": effective_samples,
    "+ eight blocks, always": eighths,
    "the gate": shipped,
    "the gate, looks 30-60-120-200": shipped_looks,
}


def sets_of(count: int, stored: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """(current, stored ...) run numbers: every pair, or a seeded sample of larger sets."""
    if stored == 1:
        return list(itertools.permutations(range(count), 2))
    return [tuple(rng.choice(count, stored + 1, replace=False)) for _ in range(SETS)]


def stored_table(data: Recordings, stored: int) -> dict[str, tuple[float, float]]:
    """Print rates with *stored* runs as the baseline; return (unchanged, +50 %) over all recordings."""
    print(f"\nbaseline of {stored} stored run(s) of 200: % called regressed, unchanged / +50 % injected")
    names = [f"{file.split('_')[0]}{file[-3:]} {metric.split('_')[0]}" for file, metric in data]
    print(" " * 34 + "all".rjust(11) + "".join(name[:13].rjust(15) for name in names))
    totals = {}
    for title, rule in RULES.items():
        cells, sums = [], np.zeros(3)
        rng = np.random.default_rng(1)
        for runs in data.values():
            chosen = sets_of(len(runs), stored, rng)
            now = np.array([runs[one[0]] for one in chosen])
            base = [np.array([runs[one[place]] for one in chosen]) for place in range(1, stored + 1)]
            same, slower = rule(now, base), rule(now * 1.5, base)
            cells.append(f"{100 * same.mean():.1f} / {100 * slower.mean():.0f}")
            sums += [same.sum(), slower.sum(), same.size]
        totals[title] = (sums[0] / sums[2], sums[1] / sums[2])
        head = f"{100 * totals[title][0]:.2f} / {100 * totals[title][1]:.0f}"
        print(title.ljust(34) + head.rjust(11) + "".join(cell.rjust(15) for cell in cells))
    return totals


def by_ranks(now: Rows, runs: list[Rows]) -> NDArray[np.bool_]:
    """Mann and Whitney's rank sum instead of p50 for "not slower", with the same noise; 3 % between runs."""
    x, ys = np.log(now), [np.log(run) for run in runs]
    y = np.sort(np.concatenate(ys, axis=1), axis=1)
    apart = np.sqrt(noise.between(x, ys, q=0.5, run_effect=None).beyond_chance)
    n, m = x.shape[1], y.shape[1]
    steps = np.linspace(-6, 6, 121)
    weights = np.exp(-(steps**2) / 2) / np.exp(-(steps**2) / 2).sum()
    p = []
    for mine, stored, sd in zip(x, y, apart, strict=True):
        below = [np.searchsorted(stored, mine - step * sd).sum() for step in steps]
        p.append(weights @ ndtr((n * m / 2 - np.array(below)) / math.sqrt(n * m * (n + m + 1) / 12)))
    beyond = p_values(x, y, q=0.5, shift=MARGIN, noise=apart) <= 0.10
    return (np.array(p) <= gate.ALPHA) & beyond


def short_table(data: Recordings) -> None:
    """Print rates for runs of so few requests that p50 is compared, and for the first look at p95."""
    print("\nshort runs, of so many requests against so many: % called regressed, unchanged / +50 % injected")
    print(" " * 34 + "".join(f"{stored} stored".rjust(15) for stored in (1, 3)))
    rules = {"the gate": shipped, "ranks": by_ranks}
    for (n, m), title in itertools.product(((12, 12), (12, 200), (19, 200), (30, 200)), rules):
        rule, cells = rules[title], []
        if rule is by_ranks and n >= needed(Q):
            continue
        for stored in (1, 3):
            rng, sums = np.random.default_rng(3), np.zeros(3)
            for runs in data.values():
                chosen = sets_of(len(runs), stored, rng)
                starts = rng.integers(0, runs[0].size - n, len(chosen))
                now = np.array(
                    [runs[one[0]][start : start + n] for one, start in zip(chosen, starts, strict=True)]
                )
                base = [np.array([runs[one[place]][:m] for one in chosen]) for place in range(1, stored + 1)]
                same, slower = rule(now, base), rule(now * 1.5, base)
                sums += [same.sum(), slower.sum(), same.size]
            cells.append(f"{100 * sums[0] / sums[2]:.2f} / {100 * sums[1] / sums[2]:.0f}")
        print(f"{n} against {m}, {title}".ljust(34) + "".join(cell.rjust(15) for cell in cells))


def interleaved(data: Recordings, splits: int = 10) -> None:
    """Print rates for arms split from the recorded series: requests 2i and 2i + 1 in random order."""
    print(
        "\ninterleaved arms, % called regressed. One look: at 100 per arm (within one run) and at 480 per arm"
    )
    print("(five runs end to end); 30-480: looks at 30, 60, 120, 240 and 480, and requests spent per arm")
    head = ("same, 100", "same, 480", "+30 %, 480", "same, 30-480", "+30 %, 30-480", "spent")
    print(" " * 50 + "".join(title.rjust(15) for title in head) + "   splits")
    rng = np.random.default_rng(2)
    for key, runs in data.items():
        short = [_split(run, rng) for run in runs for _ in range(splits)]
        joined = [np.concatenate(runs[i : i + 5])[:960] for i in range(len(runs) - 4)]
        long = [_split(one, rng) for one in joined for _ in range(max(6, 50 // len(joined)))]
        for name, test in TESTS.items():
            cells = [
                f"{100 * np.mean([test(a * factor, b) for a, b in arms]):.1f}"
                for arms, factor in ((short, 1.0), (long, 1.0), (long, 1.3))
            ]
            if test is _gate:
                same, slower = ([_looking(a * factor, b) for a, b in long] for factor in (1.0, 1.3))
                cells += [f"{100 * np.mean([caught for caught, _ in same]):.1f}"]
                cells += [f"{100 * np.mean([caught for caught, _ in slower]):.1f}"]
                cells += [f"{np.mean([n for _, n in slower]):.0f}"]
            line = "".join(cell.rjust(15) for cell in cells).ljust(90)
            print(f"{key[0]:13}{key[1]:11}{name:26}{line}   {len(short)}, {len(long)}")


def _split(
    series: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = series[: series.size // 2 * 2].reshape(-1, 2)
    first = rng.random(pairs.shape[0]) < 0.5
    return np.where(first, pairs[:, 0], pairs[:, 1]), np.where(first, pairs[:, 1], pairs[:, 0])


def _anywhere(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool(proven(np.log(a)[None], np.log(b)[None], 0.0)[0])


def _within(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    x, y = np.log(a), np.log(b)
    return paired.p_value(x, y, q=Q) <= gate.ALPHA and paired.p_value(x, y, q=Q, shift=MARGIN) <= 0.10


def _gate(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return gate.decide(a.tolist(), [b.tolist()], interleaved=True).outcome is Outcome.REGRESSED


def _looking(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[bool, int]:
    looks = gate.looks(30, a.size)
    for look, n in enumerate(looks):
        decision = gate.decide(a[:n].tolist(), [b[:n].tolist()], look=look, looks=looks, interleaved=True)
        if decision.final:
            break
    return decision.outcome is Outcome.REGRESSED, n


TESTS = {"labels swap anywhere": _anywhere, "labels swap within pairs": _within, "the gate": _gate}


def describe(data: Recordings) -> None:
    """Print how noisy each recording is."""
    print("recording     metric      runs  spread of run p95  chance alone  lag-1 correlation  worth, of 200")
    for (file, metric), runs in data.items():
        rows = np.log(np.array(runs))
        spread = np.quantile(rows, Q, axis=1).std(ddof=1)
        lag = noise.correlations(noise.ranked(rows))[:, 0].mean()
        worth = rows.shape[1] / noise.memory(noise.ranked(rows))[1].mean()
        chance = math.sqrt(variance(rows, Q).mean())
        print(f"{file:14}{metric:12}{len(runs):4}{spread:19.0%}{chance:14.0%}{lag:19.2f}{worth:15.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    data = recordings()
    describe(data)
    for stored in (1, 3):
        stored_table(data, stored)
    short_table(data)
    interleaved(data)


if __name__ == "__main__":
    main()
