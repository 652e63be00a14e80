"""``llmperf why``: a verdict in three sentences, and the command that measures it again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmperf.cli.showing import load
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.plain import plain
from pytest_llmperf.reports.summary import Summary, summarise
from pytest_llmperf.reports.why import again, sentences


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN.json")
    parser.add_argument("scenario", nargs="?", help="its name or node id (default: the worst one)")
    parser.set_defaults(command=_why)


def _why(parsed: argparse.Namespace) -> int:
    run = load(parsed.run)
    row = _found(summarise(run), parsed.scenario, parsed.run)
    for sentence in sentences(row):
        sys.stdout.write(f"{plain(sentence)}\n")
    sys.stdout.write(f"\nAgain:  {plain(again(row.scenario, run.environment))}\n")
    return 0


def _found(rows: Sequence[Summary], name: str | None, where: Path) -> Summary:
    if not rows:
        raise LlmPerfUsageError(f"{where}: no scenario was measured.")
    if name is None:
        return max(rows, key=lambda row: row.outcome.severity)
    for row in rows:
        if name in {row.name, row.scenario.measurement.scenario, row.scenario.measurement.name}:
            return row
    names = [row.name for row in rows]
    raise LlmPerfUsageError(
        f"{where}: no scenario is called {name!r}{nearest(name, names)} There are: {', '.join(names)}"
    )
