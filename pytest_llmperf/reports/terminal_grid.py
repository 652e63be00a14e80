"""A grid of names and numbers laid out for a terminal of a given width."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmperf.reports.side_by_side import Cell, Grid
from pytest_llmperf.reports.width import columns, shorten

_LEAST_NAME = 12
_GAP = 2

Piece = tuple[str, dict[str, bool]]


def lines(grid: Grid, *, width: int) -> list[list[Piece]]:
    """The title, the heading and the rows; where space is short names are shortened, and then columns go.

    What is left out is said beside the title. The best of a column is bold, green and marked with a star.
    A name that is that of the row above is not repeated.
    """
    shown = len(grid.heading)
    while (room := _room(grid, shown, width)) < _LEAST_NAME and shown > grid.names + 1:
        shown -= 1
    widths = _widths(grid, shown)
    widths[0] = max(_LEAST_NAME, min(widths[0], room))
    heading = [
        (_padded(text, widths[index], right=index >= grid.names), {"bold": True})
        for index, text in enumerate(grid.heading[:shown])
    ]
    left = ", ".join(grid.heading[shown:])
    title: list[Piece] = [(grid.title, {"bold": True})]
    title += [(f" (too narrow for {left})", {})] if left else []
    drawn: list[list[Piece]] = [title, _spaced(heading)]
    above = ""
    for row in grid.rows:
        first = row[0].text if row[0].text != above else ""
        above = row[0].text
        cells = [Cell(text=first), *row[1:shown]]
        drawn.append(
            _spaced(
                [_piece(cell, widths[index], right=index >= grid.names) for index, cell in enumerate(cells)]
            )
        )
    return drawn


def _widths(grid: Grid, shown: int) -> list[int]:
    table = [[Cell(text=text) for text in grid.heading], *grid.rows]
    return [
        max(columns(row[index].text) + (2 if index >= grid.names else 0) for row in table)
        for index in range(shown)
    ]


def _room(grid: Grid, shown: int, width: int) -> int:
    """Columns that are left for the first name."""
    return width - sum(_widths(grid, shown)[1:]) - _GAP * (shown - 1)


def _piece(cell: Cell, width: int, *, right: bool) -> Piece:
    if not right:
        return _padded(shorten(cell.text, width), width, right=False), {}
    text = _padded(f"{cell.text} {'*' if cell.best else ' '}", width, right=True)
    return text, {"green": True, "bold": True} if cell.best else {}


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * max(0, width - columns(text))
    return space + text if right else text + space


def _spaced(pieces: Sequence[Piece]) -> list[Piece]:
    return [piece for one in pieces for piece in ((" " * _GAP, {}), one)][1:]
