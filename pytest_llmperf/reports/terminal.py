"""The section that pytest prints at the end of a session, as lines of marked-up text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports import (
    cache_section,
    cost_section,
    notes,
    resources,
    server_section,
    side_by_side,
    steps,
    table,
    terminal_grid,
)
from pytest_llmperf.reports.summary import Summary, summarise
from pytest_llmperf.reports.wording import counted, words

#: Pieces of text with the markup of pytest's TerminalWriter, such as ``{"red": True}``.
Line = Sequence[tuple[str, Mapping[str, bool]]]

_GREEN, _YELLOW, _RED = {"green": True}, {"yellow": True}, {"red": True, "bold": True}
MARKUP: dict[Outcome, dict[str, bool]] = {
    Outcome.SKIPPED: {},
    Outcome.PASSED: _GREEN,
    Outcome.IMPROVED: {"green": True, "bold": True},
    Outcome.NO_BASELINE: _YELLOW,
    Outcome.NOT_COMPARABLE: _YELLOW,
    Outcome.INCONCLUSIVE: _YELLOW,
    Outcome.UNPROVEN: _YELLOW,
    Outcome.REGRESSED: _RED,
    Outcome.FAILED: _RED,
}


_SHOWN = 3  #: worst offenders, above the table


def render(run: Run, *, width: int, verbosity: int) -> list[Line]:
    """The lines under the section's title; a row of the table never exceeds *width* columns.

    *verbosity* is pytest's: below 0 one line in all, above 0 every check of every scenario.
    Sentences are not wrapped, so that they can be searched for and copied whole.
    """
    rows = summarise(run)
    if verbosity < 0:
        return [_headline(run, rows)]
    sentences = notes.verdicts(rows, every=verbosity > 0)
    if verbosity > 0:
        sentences += notes.every_check(rows)
    top, others = _offenders(sentences)
    below: list[Line] = [line for sentence in others for line in _lines(sentence)]
    below += [[(text, _RED)] for text in notes.failed_requests(rows)]
    below += [[(text, {})] for text in (*notes.spent(rows), *notes.facts(rows))]
    below += [[(text, {})] for text in steps.sentences(rows)]
    below += [[(text, {})] for text in resources.sentences(rows, every=verbosity > 0)]
    below += [[(text, {})] for text in cost_section.sentences(rows)] if verbosity > 0 else []
    below += [[(text, {})] for text in cache_section.sentences(rows)]
    below += [[(text, {})] for text in server_section.sentences(rows, every=verbosity > 0)]
    below += [[(text, {})] for text in notes.labelled_checks(rows, every=verbosity > 0)]
    below += [[(text, _YELLOW)] for text in notes.warnings(run, rows)]
    below += [[(plain(text), {})] for text in run.saved]
    below += [[(f"problem: {plain(text)}", _RED)] for text in run.problems]
    if not rows:
        return [[("no scenario was measured", {})], *below]
    above: list[Line] = [line for sentence in top for line in _lines(sentence)]
    return [*above, *([[]] if above else []), *_table(rows, width), [], *below, *_compared(run, width)]


def _offenders(sentences: Sequence[notes.Sentence]) -> tuple[list[notes.Sentence], list[notes.Sentence]]:
    """What is told before the table, the three worst offenders, and what after it."""
    bad = dict.fromkeys(sentence.who for sentence in sentences if sentence.outcome in BROKEN)
    worst = list(bad)[:_SHOWN]
    top = [sentence for sentence in sentences if sentence.outcome in BROKEN and sentence.who in worst]
    return top, [sentence for sentence in sentences if sentence not in top]


def _compared(run: Run, width: int) -> list[Line]:
    """The models side by side, and which one to take."""
    drawn: list[Line] = [
        line for grid in side_by_side.grids(run) for line in ([], *terminal_grid.lines(grid, width=width))
    ]
    return [*drawn, *([(text, {})] for text in (*side_by_side.verdicts(run), *side_by_side.footnotes(run)))]


def _headline(run: Run, rows: Sequence[Summary]) -> Line:
    """``llm performance: 1 failed, 2 passed; test_router  p95 212 ms > 150 ms (...)``."""
    worst = [f"{sentence.who}  {sentence.text}" for sentence in notes.verdicts(rows, every=False)[:1]]
    if run.problems:
        worst = [f"problem: {plain(run.problems[0])}"]
    return [
        ("llm performance: ", {}),
        (counted(row.outcome for row in rows), MARKUP[run.outcome]),
        ("".join(f"; {text}" for text in worst), {}),
    ]


def _lines(sentence: notes.Sentence) -> list[Line]:
    said = f"  {sentence.text}" if sentence.text else ""
    lines: list[Line] = [[(sentence.who, MARKUP[sentence.outcome]), (said, {})]]
    return [*lines, [("  why: ", {"bold": True}), (sentence.why, {})]] if sentence.why else lines


def _table(rows: Sequence[Summary], width: int) -> list[Line]:
    laid_out = table.lay_out(rows, [words(row.outcome) for row in rows], width=width)
    lines: list[Line] = [[(laid_out.heading, {"bold": True})]]
    for row, text, verdict in zip(rows, laid_out.rows, laid_out.verdicts, strict=True):
        lines.append([(text, {}), (verdict, MARKUP[row.outcome])])
    return lines
