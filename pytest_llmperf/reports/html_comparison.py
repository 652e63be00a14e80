"""The models side by side on the page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from pytest_llmperf.core.run import Run
from pytest_llmperf.reports.side_by_side import Cell, Grid, footnotes, grids, verdicts


def section(run: Run) -> Iterable[str]:
    """The comparison of models; nothing where there is none."""
    shown, said = grids(run), verdicts(run)
    if not shown and not said:
        return
    yield '<section aria-labelledby="comparison"><h2 id="comparison">Model comparison</h2>'
    yield from (f'<p class="verdict-line">{escape(text)}</p>' for text in said)
    for grid in shown:
        yield from _table(grid)
    yield from (f'<p class="quiet">{escape(text)}</p>' for text in footnotes(run))
    yield "</section>"


def _table(grid: Grid) -> Iterable[str]:
    title = escape(grid.title)
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{title}"><table>'
    yield f"<caption>{title}</caption><thead><tr>"
    for index, text in enumerate(grid.heading):
        kind = "" if index < grid.names else ' class="number"'
        yield f'<th scope="col"{kind}>{escape(text)}</th>' if text else "<td></td>"
    yield "</tr></thead><tbody>"
    for row in grid.rows:
        first, *others = row
        cells = "".join(_cell(cell, number=index >= grid.names) for index, cell in enumerate(others, 1))
        yield f'<tr><th scope="row">{escape(first.text)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _cell(cell: Cell, *, number: bool) -> str:
    text = escape(cell.text)
    if cell.best:
        text = f'<b class="best">{text} <span title="best">★</span></b>'
    return f'<td class="number">{text}</td>' if number else f"<td>{text}</td>"
