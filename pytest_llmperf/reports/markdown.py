"""Markdown for $GITHUB_STEP_SUMMARY and for the comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show, show_ratio
from pytest_llmperf.core.run import Run
from pytest_llmperf.core.verdict import Check
from pytest_llmperf.reports import (
    cache_section,
    cost_section,
    load,
    notes,
    resources,
    server_section,
    side_by_side,
    steps,
)
from pytest_llmperf.reports.check_cells import cells
from pytest_llmperf.reports.columns import Column, used
from pytest_llmperf.reports.summary import Summary, summarise
from pytest_llmperf.reports.wording import counted, words

#: GitHub takes 64 KiB in a comment. Bytes of the parts; what links and headings take is left.
_CHANGED, _WHY, _SENTENCES, _ALL, _LOADS, _PROBLEMS = 16_000, 5_000, 12_000, 9_000, 3_000, 3_000
_COMPARED, _NOTES = 4_000, 4_000  # of which there may be two
_NAME, _TEXT, _PROBLEM = 120, 800, 300  #: characters of one name, of one sentence, of one problem
_SIGNS = {
    Outcome.SKIPPED: "⏭️",
    Outcome.PASSED: "✅",
    Outcome.IMPROVED: "✅",
    Outcome.REGRESSED: "❌",
    Outcome.FAILED: "❌",
}
_DOUBT = "⚠️"

#: An underscore inside a word is no markup, and names are full of them.
_UNDERSCORE = r"(?<![^\W_])_|_(?![^\W_])"
#: Inside a code element: whatever may be markup.
_NOT_BARE = re.compile(rf"[^\w\s/.,-]|(?<=[wW]{{3}})\.|{_UNDERSCORE}")
#: In a sentence: markup, mathematics, mentions, references to issues, links.
_MARKUP = re.compile(rf"[\\`*\[\]|~<>&$]|{_UNDERSCORE}|(?<!\w)[@#](?=\w)|://|(?<=[wW]{{3}})\.")


def render(run: Run) -> str:
    """*run* as GitHub-flavoured Markdown: the headline, what changed, and the rest folded.

    Never longer than a comment may be; what does not fit is counted. Text that is not ours is
    escaped: it makes no markup, mentions nobody and links nowhere.
    """
    rows = summarise(run)
    parts = [
        f"## {_sign(run.outcome)} llm performance: {counted(row.outcome for row in rows)}",
        *_problems(run.problems),
        *map(escaped, notes.spent(rows)),
        *_changed(rows),
        *_listed(map(_explained, notes.explanations(rows)), _WHY),
        *_listed(map(_sentence, notes.verdicts(_untold(rows), every=True)), _SENTENCES),
        *_compared(run),
        *_folded(f"All {len(rows)} scenarios", _everything(rows)),
        *_folded("Under load", _under_load(rows)),
        *_folded("Details", _listed(_details(run, rows), _NOTES)),
    ]
    return "\n\n".join(parts) + "\n"


def code(text: str, *, limit: int = _NAME) -> str:
    """Untrusted *text* as an inline code element, inside which GitHub makes no markup, mention or link."""
    return f"<code>{_NOT_BARE.sub(_entity, plain(text, limit=limit))}</code>"


def escaped(text: str, *, limit: int = _TEXT) -> str:
    """A sentence that quotes untrusted words: no markup, no mention, no reference, no link."""
    return _MARKUP.sub(_harmless, plain(text, limit=limit))


def _entity(match: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in match[0])


def _harmless(match: re.Match[str]) -> str:
    # GitHub looks for mathematics, mentions and references in the text that entities have become,
    # and never across elements.
    return f"<span>{match[0]}</span>" if match[0] in "$@#" else _entity(match)


def _sign(outcome: Outcome) -> str:
    return _SIGNS.get(outcome, _DOUBT)


def _problems(problems: Sequence[str]) -> list[str]:
    lines = [f"**problem:** {code(problem, limit=_PROBLEM)}" for problem in problems]
    kept = _fitting(lines, _PROBLEMS)
    return kept if len(kept) == len(lines) else [*kept, f"… and {len(lines) - len(kept)} more problems."]


def _sentence(sentence: notes.Sentence) -> str:
    text = f" {escaped(sentence.text)}" if sentence.text else ""
    return f"{_sign(sentence.outcome)} {code(sentence.who, limit=4 * _NAME)}{text}"


def _explained(sentence: notes.Sentence) -> str:
    return f"{code(sentence.who)} {escaped(sentence.why)}"


def _changed(rows: Sequence[Summary]) -> list[str]:
    """The checks that are broken, in doubt or better, worst first."""
    checks = [
        (row, check)
        for row in rows
        for check in row.scenario.verdict.checks
        if check.observed is not None and check.outcome not in {Outcome.PASSED, Outcome.SKIPPED}
    ]
    checks.sort(key=lambda pair: -pair[1].outcome.severity)
    heading = ("verdict", "scenario", "metric", "now", "limit", "baseline", "ratio", "n")
    return _table(heading, "llllrrrr", (_check(row, check) for row, check in checks), _CHANGED)


def _untold(rows: Sequence[Summary]) -> list[Summary]:
    """The scenarios whose verdict the table of changes does not explain."""
    return [
        row
        for row in rows
        if row.outcome not in BROKEN or all(check.observed is None for check in row.scenario.verdict.broken)
    ]


def _check(row: Summary, check: Check) -> list[str]:
    told = cells(check)
    return [
        f"{_sign(check.outcome)} {words(check.outcome)}",
        code(row.name),
        *map(escaped, (check.label, told.now, told.limit, told.baseline, told.ratio)),
        str(check.n),
    ]


def _compared(run: Run) -> list[str]:
    """The models side by side, the best of each in bold, and which one to take."""
    parts = []
    for grid in side_by_side.grids(run):
        rows = (
            [
                (
                    code(cell.text)
                    if index < grid.names
                    else f"**{escaped(cell.text)}**"
                    if cell.best
                    else escaped(cell.text)
                )
                for index, cell in enumerate(row)
            ]
            for row in grid.rows
        )
        align = "l" * grid.names + "r" * (len(grid.heading) - grid.names)
        heading = [escaped(text) for text in grid.heading]
        parts += [f"### {grid.title.capitalize()}", *_table(heading, align, rows, _COMPARED)]
    said = (*side_by_side.verdicts(run), *side_by_side.footnotes(run))
    return [*parts, *_listed(map(escaped, said), _NOTES)]


def _everything(rows: Sequence[Summary]) -> list[str]:
    shown = used(rows)
    heading = ["scenario", *(column.heading for column in shown), "verdict"]
    table = (
        [
            code(row.name),
            *(_cell(column, row) for column in shown),
            f"{_sign(row.outcome)} {words(row.outcome)}",
        ]
        for row in rows
    )
    return _table(heading, "l" + "r" * len(shown) + "l", table, _ALL)


def _under_load(rows: Sequence[Summary]) -> list[str]:
    """How each load profile was carried out."""
    table = ((code(row.name), *map(escaped, told)) for row in rows if (told := load.cells(row)) is not None)
    return _table(load.HEADING, "lllrl", table, _LOADS)


def _cell(column: Column, row: Summary) -> str:
    value = column.of(row)
    if value is None:
        return "-"
    return _SHOWN[column.unit](value) if column.unit in _SHOWN else escaped(show(value, column.unit))


_SHOWN: dict[str, Callable[[float], str]] = {"n": lambda count: f"{count:.0f}", "x": show_ratio}


def _details(run: Run, rows: Sequence[Summary]) -> Iterable[str]:
    for text in (
        *notes.failed_requests(rows),
        *cost_section.sentences(rows),
        *cache_section.sentences(rows),
        *server_section.sentences(rows, every=True),
        *notes.labelled_checks(rows, every=False),
        *steps.sentences(rows),
        *resources.sentences(rows, every=True),
        *notes.warnings(run, rows),
        *notes.facts(rows),
        *run.saved,
    ):
        yield escaped(text)
    for name, value in run.environment.items():
        yield f"{escaped(name)}: {code(value)}"


def _table(heading: Sequence[str], align: str, rows: Iterable[Sequence[str]], budget: int) -> list[str]:
    """A table of as many *rows* as fit *budget* characters, and how many are left."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    kept = _fitting(lines, budget)
    rule = "".join("|---:" if side == "r" else "|---" for side in align)
    table = "\n".join([f"| {' | '.join(heading)} |", f"{rule}|", *kept])
    return [table] if len(kept) == len(lines) else [table, f"… and {len(lines) - len(kept)} more."]


def _listed(items: Iterable[str], budget: int) -> list[str]:
    lines = [f"- {item}" for item in items]
    if not lines:
        return []
    kept = _fitting(lines, budget)
    if len(kept) < len(lines):
        kept.append(f"- … and {len(lines) - len(kept)} more.")
    return ["\n".join(kept)]


def _fitting(lines: Sequence[str], budget: int) -> list[str]:
    kept = []
    for line in lines:
        budget -= len(line.encode("utf-8", "replace")) + 1
        if budget < 0:
            break
        kept.append(line)
    return kept


def _folded(title: str, parts: Sequence[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", *parts, "</details>"] if parts else []
