"""Workflow commands: a verdict on the line of its test, in the pull request's diff.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from pytest_llmperf.core.outcome import BROKEN, FINE, Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports.summary import Summary, summarise
from pytest_llmperf.reports.wording import words

#: GitHub shows ten of one step and hides the rest without a word.
MOST = 10

_TEXT = 1_000  #: characters of one reason


def annotate(
    run: Run, *, strict: AbstractSet[Outcome], directory: Path, workspace: Path
) -> tuple[list[str], int]:
    """A line for each scenario that is broken (an error) or in doubt (a warning), and how many are left.

    Errors come first. *directory* is where pytest ran, *workspace* the checkout's root: GitHub wants
    paths from there.
    """
    rows = [row for row in summarise(run) if row.outcome not in FINE]
    rows.sort(key=lambda row: (row.outcome not in BROKEN | strict, -row.outcome.severity))
    problems = [command("error", problem, title="llm performance") for problem in run.problems]
    told = [_about(row, BROKEN | strict, directory, workspace) for row in rows]
    lines = [*problems, *told]
    return lines[:MOST], len(lines[MOST:])


def command(name: str, text: str, **properties: str) -> str:
    """``::NAME property=value::TEXT`` as the runner reads it; what could end it early is escaped."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{name}{' ' if given else ''}{given}::{_escaped(plain(text, limit=_TEXT))}"


def _about(row: Summary, failing: AbstractSet[Outcome], directory: Path, workspace: Path) -> str:
    measured = row.scenario.measurement
    where = {}
    if measured.path:
        # A path of another drive, or one that climbs out, would be dropped by GitHub: it is told as it is.
        where["file"] = Path(os.path.relpath(directory / measured.path, workspace)).as_posix()
        where["line"] = str(measured.line) if measured.line else ""
    return command(
        "error" if row.outcome in failing else "warning",
        row.scenario.verdict.reason,
        **where,
        title=f"{row.name} {words(row.outcome)}",
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(plain(text, limit=200)).replace(":", "%3A").replace(",", "%2C")


def unheard(lines: Sequence[str], token: str) -> list[str]:
    """*lines* as the runner prints them without obeying them; *token* is a secret of this step."""
    return [f"::stop-commands::{token}", *lines, f"::{token}::"]
