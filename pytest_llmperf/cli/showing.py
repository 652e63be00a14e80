"""What commands share that read a run and show it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports import terminal
from pytest_llmperf.reports.parse import parse
from pytest_llmperf.reports.write import REPORTS, SUFFIXES, write

_SGR = {"bold": 1, "red": 31, "green": 32, "yellow": 33}

#: The suffix of a file in each format; where several share one, the format's name stands before it.
_SUFFIX = {
    **{name: f".{name}.json" for name in REPORTS},
    **{name: suffix for suffix, name in SUFFIXES.items()},
    "cache-savings": ".cache-savings.md",
}


def load(path: Path) -> Run:
    """The run in *path*. Raises LlmPerfUsageError or OSError."""
    if not path.exists():
        raise LlmPerfUsageError(f"{path} does not exist; pytest --llm-report={path} writes one.")
    return parse(path.read_text("utf-8"), where=str(path))


def add_reports(parser: argparse.ArgumentParser, stem: str) -> None:
    """``--report [FORMAT=]PATH``, and ``--FORMAT`` for a file in this directory called after *stem*."""
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="[FORMAT=]PATH",
        help="write a report, as pytest --llm-report does; may be given several times",
    )
    for name in REPORTS:
        flags = [f"--{name}", *(["--md"] if name == "markdown" else [])]
        parser.add_argument(
            *flags,
            dest="formats",
            action="append_const",
            const=name,
            default=[],
            help=f"write {stem}{_SUFFIX[name]}",
        )


def targets(parsed: argparse.Namespace, stem: str) -> list[str]:
    """The reports that were asked for, as ``write`` takes them."""
    return [*parsed.report, *(f"{name}={stem}{_SUFFIX[name]}" for name in parsed.formats)]


def show(run: Run, reports: Sequence[str], *, failing: AbstractSet[Outcome]) -> int:
    """Print *run* as pytest would, write *reports*, and give the exit status."""
    coloured = _is_coloured()
    for line in terminal.render(run, width=shutil.get_terminal_size().columns, verbosity=0):
        sys.stdout.write("".join(_marked(text, markup) if coloured else text for text, markup in line) + "\n")
    for written in write(run, reports, directory=Path.cwd()):
        sys.stdout.write(f"{written}\n")
    return int(bool(run.problems) or any(scenario.verdict.outcome in failing for scenario in run.scenarios))


def _is_coloured() -> bool:
    """As pytest decides it: https://no-color.org, FORCE_COLOR, and a terminal that knows colours."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


def _marked(text: str, markup: object) -> str:
    codes = [str(code) for name, code in _SGR.items() if isinstance(markup, dict) and markup.get(name)]
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text
