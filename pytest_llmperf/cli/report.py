"""``llmperf report``: show a run.json, or write it in other formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_llmperf.cli.showing import add_reports, load, show, targets
from pytest_llmperf.core.errors import LlmPerfUsageError


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", type=Path, metavar="RUN.json")
    add_reports(parser, "RUN")
    parser.set_defaults(command=_report)


def _report(parsed: argparse.Namespace) -> int:
    reports = targets(parsed, parsed.run.stem)
    if any(Path(target.rpartition("=")[2]).resolve() == parsed.run.resolve() for target in reports):
        raise LlmPerfUsageError(f"{parsed.run} is what is read: give the report another name.")
    show(load(parsed.run), reports, failing=set())
    return 0
