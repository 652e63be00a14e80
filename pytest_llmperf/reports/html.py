"""One self-contained page with tables and plots: no network, no server, nothing to install."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib import resources

from pytest_llmperf.core.outcome import BROKEN, FINE, Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show, show_ratio
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports import html_comparison, notes
from pytest_llmperf.reports.columns import Column, used
from pytest_llmperf.reports.html_scenario import details, row_id
from pytest_llmperf.reports.plots import plot_data
from pytest_llmperf.reports.summary import Summary, summarise
from pytest_llmperf.reports.wording import counted, words

#: In the order they are inlined.
_SCRIPTS = ("uPlot.iife.min.js", "report.js")
_STYLES = ("uPlot.min.css", "report.css")
_SHOWN = 3  #: of what broke, at the top


def render(run: Run) -> str:
    """*run* as an HTML page that may load and run nothing but what is in it.

    Every table is there without JavaScript; the plots, the filter and the sorting need it.
    """
    rows = notes.worst_first(summarise(run))
    unfolded = _unfolded(rows)
    scripts, styles = [_asset(name) for name in _SCRIPTS], [_asset(name) for name in _STYLES]
    # Content that got past the escaping could still neither run nor load anything.
    policy = f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}"
    title = f"llm performance: {words(run.outcome)}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>",
            *(f"<style>{style}</style>" for style in styles),
            "</head>",
            "<body>",
            *_header(run, rows),
            "<main>",
            *_worst(rows),
            *_overview(rows),
            *html_comparison.section(run),
            *(
                line
                for index, row in enumerate(rows)
                for line in details(row, index, unfolded=index in unfolded)
            ),
            *_about(run, rows),
            "</main>",
            f'<script type="application/json" id="plots">{_data(rows)}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _header(run: Run, rows: Sequence[Summary]) -> Iterable[str]:
    commit, branch = run.environment.get("commit"), run.environment.get("branch")
    origin = f"{branch}@{commit}" if branch and commit else commit or ""
    yield "<header>"
    yield f'<h1>llm performance <span class="verdict {run.outcome}">{words(run.outcome)}</span></h1>'
    yield f"<p>{escape(counted(row.outcome for row in rows))}</p>"
    facts = [plain(fact) for fact in (origin, run.started) if fact]
    yield f'<p class="quiet">{escape(" · ".join(facts))}</p>'
    for problem in run.problems:
        yield f'<p class="problem" role="alert">problem: {escape(plain(problem))}</p>'
    yield "</header>"


def _worst(rows: Sequence[Summary]) -> Iterable[str]:
    """The three worst offenders: what is broken, a sentence per gate, and why."""
    bad = [(index, row) for index, row in enumerate(rows) if row.outcome in BROKEN]
    if not bad:
        return
    yield '<section class="broken" aria-labelledby="broken"><h2 id="broken">What broke</h2><ul>'
    for index, row in bad[:_SHOWN]:
        yield f'<li><a href="#{row_id(index)}">{escape(plain(row.name))}</a>'
        reasons = [check.reason for check in row.scenario.verdict.broken] or [row.scenario.verdict.reason]
        yield from (f"<p>{escape(plain(reason))}</p>" for reason in reasons)
        if row.scenario.explanation is not None:
            yield f"<p><b>Why:</b> {escape(plain(row.scenario.explanation))}</p>"
        yield "</li>"
    yield "</ul>"
    if (left := len(bad) - _SHOWN) > 0:
        yield f'<p class="quiet">and {left} more below</p>'
    yield "</section>"


def _overview(rows: Sequence[Summary]) -> Iterable[str]:
    if not rows:
        return
    shown = used(rows)
    outcomes = [outcome for outcome in reversed(Outcome) if any(row.outcome is outcome for row in rows)]
    yield '<section aria-labelledby="overview"><h2 id="overview">Scenarios</h2>'
    yield '<form class="filter" role="search" aria-label="Filter the scenarios">'
    yield '<label>Name <input type="search" id="name"></label>'
    yield "<fieldset><legend>Verdict</legend>"
    for outcome in outcomes:
        box = f'<input type="checkbox" name="outcome" value="{outcome}" checked>'
        yield f"<label>{box} {words(outcome)}</label>"
    yield '</fieldset><button type="button" id="unfold">Open all</button>'
    yield '<output id="count" aria-live="polite"></output></form>'
    yield '<div class="wide" tabindex="0" role="region" aria-label="Table of scenarios">'
    yield '<table id="scenarios"><thead><tr><th scope="col">scenario</th>'
    yield '<th scope="col">verdict</th>'
    yield from (f'<th scope="col" class="number">{column.heading}</th>' for column in shown)
    yield "</tr></thead>"
    doubts = Counter(row.scenario.verdict.reason for row in rows if row.outcome not in FINE)
    shared = {reason for reason, count in doubts.items() if count > 1}
    for index, row in enumerate(rows):
        reason = row.scenario.verdict.reason
        told = row.outcome in BROKEN and index < _SHOWN
        own = row.outcome not in FINE and reason not in shared and not told
        yield from _row(row, index, shown, reason=reason if own else "")
    yield "</table></div>"
    alike = [row for row in rows if row.outcome not in FINE and row.scenario.verdict.reason in shared]
    for sentence in notes.verdicts(alike, every=True):
        yield f'<p class="quiet">{escape(sentence.who)}: {escape(sentence.text)}</p>'
    yield "</section>"


def _row(row: Summary, index: int, shown: Sequence[Column], *, reason: str) -> Iterable[str]:
    """The numbers, and below them over the whole width the *reason*, if it is told nowhere else."""
    yield f'<tbody data-outcome="{row.outcome}"><tr>'
    yield f'<th scope="row"><a href="#{row_id(index)}">{escape(plain(row.name))}</a></th>'
    yield f'<td data-value="{row.outcome.severity}">'
    yield f'<span class="verdict {row.outcome}">{words(row.outcome)}</span></td>'
    for column in shown:
        value = column.of(row)
        sort = "" if value is None else f' data-value="{value:.9g}"'
        yield f'<td class="number"{sort}>{escape(_cell(value, column))}</td>'
    yield "</tr>"
    if reason:
        yield f'<tr class="why"><td colspan="{len(shown) + 2}">{escape(plain(reason))}</td></tr>'
    yield "</tbody>"


def _cell(value: float | None, column: Column) -> str:
    if value is None:
        return "-"
    if column.unit == "n":
        return f"{value:.0f}"
    return show_ratio(value) if column.unit == "x" else show(value, column.unit)


def _about(run: Run, rows: Sequence[Summary]) -> Iterable[str]:
    told = [
        *notes.failed_requests(rows),
        *notes.warnings(run, rows),
        *notes.spent(rows),
        *notes.facts(rows),
        *map(plain, run.saved),
    ]
    if told:
        yield '<section aria-labelledby="notes"><h2 id="notes">Notes</h2><ul>'
        yield from (f"<li>{escape(text)}</li>" for text in told)
        yield "</ul></section>"
    if run.environment:
        yield '<section aria-labelledby="environment"><h2 id="environment">Environment</h2><dl>'
        for name, value in run.environment.items():
            yield f"<dt>{escape(plain(name))}</dt><dd>{escape(plain(value))}</dd>"
        yield "</dl></section>"


def _unfolded(rows: Sequence[Summary]) -> set[int]:
    """The three worst offenders, which a reader opens first anyway; where nothing broke, the first."""
    return {index for index, row in enumerate(rows[:_SHOWN]) if row.outcome in BROKEN} or {0}


def _data(rows: Sequence[Summary]) -> str:
    plots = {row_id(index): plot_data(row.scenario) for index, row in enumerate(rows)}
    # Inside a script element only "<" can end it.
    return json.dumps(plots, separators=(",", ":")).replace("<", r"\u003c")


@cache
def _asset(name: str) -> str:
    return (resources.files("pytest_llmperf.reports") / "assets" / name).read_text(encoding="utf-8")


def _hashes(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
