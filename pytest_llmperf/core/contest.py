"""Several models, or set-ups of them, side by side: a table of scenarios, and which one to take."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.quantile import quantile
from pytest_llmperf.core.run import Run, Scenario

#: What lies within this share of the best shares its mark, and scores within it are a tie.
_ALIKE: Final = 0.05
_SCORES_ALIKE: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One column of the comparison."""

    heading: str
    unit: str
    higher_is_better: bool
    of: Callable[[Measurement], float | None]


def _p95(series: str) -> Callable[[Measurement], float | None]:
    def of(measured: Measurement) -> float | None:
        values = measured.series.get(series, ())
        return quantile(values, 0.95) if values else None

    return of


def _rate(name: str) -> Callable[[Measurement], float | None]:
    def of(measured: Measurement) -> float | None:
        count = measured.proportions.get(name, Count())
        return count.rate if count.trials else None

    return of


def _accuracy(measured: Measurement) -> float | None:
    count = sum((check.count for check in measured.checks), Count())
    return count.rate if count.trials else None


def _cost(measured: Measurement) -> float | None:
    costs = measured.series.get("cost_usd", ())
    return statistics.fmean(costs) if costs else None


#: In the order of the columns; the names are those of the weights in slo.yaml.
QUANTITIES: dict[str, Quantity] = {
    "ttft_p95": Quantity(heading="TTFT p95", unit="s", higher_is_better=False, of=_p95("ttft_s")),
    "p95": Quantity(heading="p95", unit="s", higher_is_better=False, of=_p95("latency_s")),
    "tokens_per_s": Quantity(
        heading="tokens/s",
        unit="1/s",
        higher_is_better=True,
        of=lambda measured: measured.throughput.get("tokens_per_s"),
    ),
    "json_valid": Quantity(heading="JSON", unit="", higher_is_better=True, of=_rate("json_valid")),
    "pass_rate": Quantity(heading="passed", unit="", higher_is_better=True, of=_rate("pass_rate")),
    "accuracy": Quantity(heading="accuracy", unit="", higher_is_better=True, of=_accuracy),
    "cost_usd": Quantity(heading="cost", unit="USD", higher_is_better=False, of=_cost),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One scenario on one set-up."""

    setup: str
    outcome: Outcome
    values: Mapping[str, float]  #: by name of the quantity; what was not measured is left out
    best: frozenset[str] = frozenset()  #: the quantities in which no set-up is better by more than 5 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One scenario on every set-up that ran it."""

    subject: str  #: the scenario without its set-up
    name: str  #: short
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The comparison of one run."""

    setups: tuple[str, ...]
    quantities: tuple[str, ...]  #: those that at least one scenario has
    rows: tuple[Row, ...]
    weights: Mapping[str, float]  #: those that counted
    scores: Mapping[str, float]  #: 0..1 by set-up; empty where nothing was measured on all of them
    broken: Mapping[str, tuple[str, ...]]  #: the scenarios whose gate each set-up breaks
    winner: str | None  #: None for a tie, and where every set-up breaks a gate
    recommendation: str  #: one sentence


def contest(run: Run) -> Contest | None:
    """The set-ups of *run* side by side; None where it has only one."""
    setups = tuple(dict.fromkeys(_setups(run)))
    if len(setups) < 2:
        return None
    groups: dict[str, list[Scenario]] = {}
    for scenario in run.scenarios:
        if scenario.measurement.setup:
            groups.setdefault(scenario.measurement.subject, []).append(scenario)
    rows = tuple(_row(subject, scenarios) for subject, scenarios in groups.items())
    shown = [
        name for name in QUANTITIES if any(name in entry.values for row in rows for entry in row.entries)
    ]
    weights = {name: run.yardsticks.weights.get(name, 0.0) for name in shown}
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    scores = _scores(rows, setups, weights)
    broken = {setup: _broken(rows, setup) for setup in setups}
    winner, sentence = _recommended(scores, broken)
    return Contest(
        setups=setups,
        quantities=tuple(shown),
        rows=rows,
        weights=weights,
        scores=scores,
        broken=broken,
        winner=winner,
        recommendation=sentence,
    )


def _setups(run: Run) -> list[str]:
    return [scenario.measurement.setup for scenario in run.scenarios if scenario.measurement.setup]


def _row(subject: str, scenarios: Sequence[Scenario]) -> Row:
    entries = [_entry(scenario) for scenario in scenarios]
    best = {name: _best(name, entries) for name in QUANTITIES}
    return Row(
        subject=subject,
        name=subject.rpartition("::")[2],
        entries=tuple(
            replace(entry, best=frozenset(name for name, setups in best.items() if entry.setup in setups))
            for entry in entries
        ),
    )


def _entry(scenario: Scenario) -> Entry:
    measured = scenario.measurement
    values = {
        name: value for name, quantity in QUANTITIES.items() if (value := quantity.of(measured)) is not None
    }
    return Entry(setup=measured.setup, outcome=scenario.verdict.outcome, values=values)


def _best(name: str, entries: Sequence[Entry]) -> set[str]:
    """The set-ups that are within 5 % of the best; none where all are, or only one was measured."""
    values = {entry.setup: entry.values[name] for entry in entries if name in entry.values}
    if len(values) < 2:
        return set()
    best = _better(name)(values.values())
    alike = {setup for setup, value in values.items() if abs(value - best) <= _ALIKE * abs(best)}
    return alike if len(alike) < len(values) else set()


def _better(name: str) -> Callable[..., float]:
    return max if QUANTITIES[name].higher_is_better else min


def _scores(rows: Sequence[Row], setups: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Weighted mean of how near each set-up is to the best, over all that every one of them has."""
    points: dict[str, list[tuple[float, float]]] = {setup: [] for setup in setups}
    for row in rows:
        entries = {entry.setup: entry for entry in row.entries}
        for name, weight in weights.items():
            values = {setup: entry.values[name] for setup, entry in entries.items() if name in entry.values}
            if len(values) < len(setups):
                continue
            best = _better(name)(values.values())
            for setup, value in values.items():
                points[setup].append((weight, _nearness(value, best)))
    if not any(points.values()):
        return {}
    return {
        setup: sum(weight * near for weight, near in each) / sum(weight for weight, _ in each)
        for setup, each in points.items()
    }


def _nearness(value: float, best: float) -> float:
    """1 for the best, half of it for what is twice as slow or half as good."""
    if value == best:
        return 1.0
    low, high = sorted((value, best))
    return low / high


def _broken(rows: Sequence[Row], setup: str) -> tuple[str, ...]:
    return tuple(
        row.name for row in rows for entry in row.entries if entry.setup == setup and entry.outcome in BROKEN
    )


def _recommended(scores: Mapping[str, float], broken: Mapping[str, Sequence[str]]) -> tuple[str | None, str]:
    """Who wins, and the sentence that says why: a set-up that breaks no gate, with the highest score."""
    if not scores:
        return None, "no recommendation: no quantity was measured on every one"
    ranked = sorted(scores, key=lambda setup: -scores[setup])
    told = ", ".join(f"{setup} {scores[setup]:.2f}" for setup in ranked)
    whole = [setup for setup in ranked if not broken[setup]]
    if not whole:
        return None, f"none can be recommended: each breaks a gate; scores: {told}"
    first = whole[0]
    near = [setup for setup in whole[1:] if scores[first] - scores[setup] < _SCORES_ALIKE]
    worse = [setup for setup in ranked if broken[setup]]
    against = "".join(f"; {setup} breaks the gate of {_few(broken[setup])}" for setup in worse)
    if near:
        return None, f"no clear winner between {_and([first, *near])}; scores: {told}{against}"
    return first, f"recommended: {first}; scores: {told}{against}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
