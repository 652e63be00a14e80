"""The comparison of models as tables and sentences that every format shows in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_llmperf.core.contest import QUANTITIES, Contest, Entry, contest
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.run import Run
from pytest_llmperf.core.versus import Versus, keep_small, versus


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table."""

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: the first *names* columns are text, the others numbers."""

    title: str
    names: int
    heading: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def grids(run: Run) -> list[Grid]:
    """The set-ups side by side, and what was measured against what others published."""
    compared, against = contest(run), versus(run)
    return [
        *([] if compared is None else [_contest(compared)]),
        *([_versus(run, against)] if against else []),
    ]


def verdicts(run: Run) -> list[str]:
    """Which set-up to take, and whether a small model will do."""
    compared = contest(run)
    recommended = [] if compared is None else [compared.recommendation]
    return [plain(text) for text in (*recommended, *keep_small(run))]


def footnotes(run: Run) -> list[str]:
    """By which weights, and whose the published figures are."""
    return [plain(text) for text in _footnotes(run)]


def _footnotes(run: Run) -> Iterator[str]:
    compared = contest(run)
    if compared is not None and compared.scores:
        weights = ", ".join(
            f"{QUANTITIES[name].heading} {weight:g}" for name, weight in compared.weights.items()
        )
        yield f"a score is the weighted mean of how near each value is to the best; weights: {weights}"
    if versus(run):
        sources = [f"{one.name}: {one.source}" for one in run.yardsticks.references if one.source]
        where = f" ({', '.join(sources)})" if sources else ""
        yield f"+ is better than published; the figures were measured by others, on other machines{where}"


def _contest(compared: Contest) -> Grid:
    rows = [
        (
            Cell(text=plain(row.name)),
            Cell(text=plain(entry.setup)),
            *(_cell(entry, name) for name in compared.quantities),
        )
        for row in compared.rows
        for entry in row.entries
    ]
    return Grid(
        title="model comparison",
        names=2,
        heading=("scenario", "on", *(QUANTITIES[name].heading for name in compared.quantities)),
        rows=tuple(rows),
    )


def _cell(entry: Entry, name: str) -> Cell:
    if name not in entry.values:
        return Cell(text="-")
    return Cell(text=show(entry.values[name], QUANTITIES[name].unit), best=name in entry.best)


def _versus(run: Run, against: list[Versus]) -> Grid:
    """A row per scenario and quantity, a column per reference: ``900 ms, +83 %``."""
    names = [reference.name for reference in run.yardsticks.references]
    found = {(one.scenario, one.label, one.reference): one for one in against}
    ids = {scenario.measurement.scenario: scenario.measurement.name for scenario in run.scenarios}
    rows = []
    for scenario, label in dict.fromkeys((one.scenario, one.label) for one in against):
        each = [found.get((scenario, label, name)) for name in names]
        observed = next(show(one.observed, one.unit) for one in each if one is not None)
        cells = (Cell(text="-" if one is None else _published(one)) for one in each)
        rows.append((Cell(text=plain(ids[scenario])), Cell(text=label), Cell(text=observed), *cells))
    return Grid(
        title="versus published figures",
        names=2,
        heading=("scenario", "", "measured", *(f"versus {plain(name)}" for name in names)),
        rows=tuple(rows),
    )


def _published(one: Versus) -> str:
    """What was published, and how much better the measured value is."""
    return f"{show(one.published, one.unit)}, {round(100 * one.improvement):+d} %"
