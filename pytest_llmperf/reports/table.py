"""The table of scenarios laid out for a terminal of a given width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show, show_ratio
from pytest_llmperf.reports.columns import Column, used
from pytest_llmperf.reports.summary import Summary
from pytest_llmperf.reports.width import columns, shorten

#: Gap between columns, short headings, and what a name may be shortened to before the next one is tried.
_LAYOUTS = ((2, False, 40), (2, True, 28), (1, True, 20))
_LEAST_NAME_WIDTH = 8  #: when every column that can go has gone
_KEPT = 9  #: columns of this weight stay, whatever happens


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Lines of equal width; the verdict apart, so that it can be coloured."""

    heading: str
    rows: tuple[str, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    titles: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]  #: by row
    gap: int

    @property
    def widths(self) -> list[int]:
        return [max(map(columns, column)) for column in zip(self.titles, *self.cells, strict=True)]

    @property
    def width(self) -> int:
        """Of the columns of numbers with the gap before each."""
        return sum(self.widths) + self.gap * len(self.titles)


def lay_out(rows: Sequence[Summary], verdicts: Sequence[str], *, width: int) -> Table:
    """*rows* in at most *width* columns: narrow first, then shortened names, then fewer columns."""
    names = [plain(row.name) for row in rows]
    shown = used(rows)
    scale, unit = _time_unit(rows, shown)
    title = f"scenario ({unit})" if unit else "scenario"
    longest = max(map(columns, (title, *names)))
    last = max(map(columns, ("verdict", *verdicts)))
    while True:
        for gap, narrow, least in _LAYOUTS:
            layout = _layout(rows, shown, scale, gap=gap, narrow=narrow)
            room = width - layout.width - gap - last
            if room >= min(longest, least):
                return _drawn(layout, title, names, verdicts, name_width=min(longest, room))
        if not (droppable := [column for column in shown if column.weight < _KEPT]):
            return _drawn(layout, title, names, verdicts, name_width=max(_LEAST_NAME_WIDTH, room))
        shown.remove(min(droppable, key=lambda column: column.weight))


def _layout(
    rows: Sequence[Summary], shown: Sequence[Column], scale: float, *, gap: int, narrow: bool
) -> _Layout:
    return _Layout(
        titles=tuple(column.narrow if narrow else column.heading for column in shown),
        cells=tuple(tuple(_cell(column.of(row), column.unit, scale) for column in shown) for row in rows),
        gap=gap,
    )


def _drawn(
    layout: _Layout, title: str, names: Sequence[str], verdicts: Sequence[str], *, name_width: int
) -> Table:
    widths, space = layout.widths, " " * layout.gap

    def line(name: str, cells: Sequence[str]) -> str:
        numbers = [
            space + " " * (width - columns(cell)) + cell for cell, width in zip(cells, widths, strict=True)
        ]
        short = shorten(name, name_width)
        return short + " " * (name_width - columns(short)) + "".join(numbers) + space

    return Table(
        heading=line(title, layout.titles) + "verdict",
        rows=tuple(line(name, cells) for name, cells in zip(names, layout.cells, strict=True)),
        verdicts=tuple(verdicts),
    )


def _time_unit(rows: Sequence[Summary], shown: Sequence[Column]) -> tuple[float, str]:
    """One unit for every time of the table, named once: seconds when every time is that long."""
    times = [value for column in shown if column.unit == "s" for row in rows if (value := column.of(row))]
    if not times:
        return 1.0, ""
    return (1.0, "s") if min(times) >= 1 else (1e-3, "ms")


def _cell(value: float | None, unit: str, scale: float) -> str:
    if value is None:
        return "-"
    return _SHOWN[unit](value / scale if unit == "s" else value)


def _bare(value: float) -> str:
    """Three significant digits without a unit, which the heading names."""
    return show(value, "n")


_SHOWN: dict[str, Callable[[float], str]] = {
    "n": lambda count: f"{count:.0f}",
    "s": _bare,
    "1/s": _bare,
    "": lambda share: show(share, "").replace(" ", ""),
    "USD": lambda cost: show(cost, "USD"),
    "x": show_ratio,
}
