"""``llmperf list``: the scenarios of a project with what they promise, without running them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.plain import plain

#: pytest's exit status when it collected nothing, which is no error here.
_NOTHING = 5


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("arguments", nargs="*", metavar="PYTEST-ARGUMENT", help="such as a path, or -k NAME")
    parser.set_defaults(command=_list)


def _list(parsed: argparse.Namespace) -> int:
    scenarios = _collected(parsed.arguments)
    if not scenarios:
        sys.stdout.write("no scenario: a test with @llm_slo is one\n")
        return 0
    for scenario in scenarios:
        sys.stdout.write(f"{_line(scenario)}\n")
    return 0


def _collected(arguments: list[str]) -> list[Mapping[str, Any]]:
    """What pytest collects, asked in a process of its own. Raises LlmPerfUsageError with pytest's words."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenarios.json"
        command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "pytest_llmperf.listing"]
        done = subprocess.run(  # noqa: S603 - pytest
            [*command, "-p", "no:cacheprovider", *arguments],
            env={**os.environ, "LLMPERF_LISTING": str(file)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode not in {0, _NOTHING} or not file.exists():
            raise LlmPerfUsageError(
                f"pytest could not collect the tests:\n{done.stdout}{done.stderr}".rstrip()
            )
        scenarios: list[Mapping[str, Any]] = json.loads(file.read_text("utf-8"))
    return scenarios


def _line(scenario: Mapping[str, Any]) -> str:
    if "problem" in scenario:
        return f"{plain(scenario['id'])}  {plain(scenario['problem'])}"
    notes = [f"{what} {scenario[what]}" for what in ("role", "pool") if scenario[what]]
    about = f" ({plain(', '.join(notes))})" if notes else ""
    promises = ", ".join(scenario["promises"]) or "no limit: compared with the baseline only"
    return f"{plain(scenario['id'])}{about}  {plain(promises)}"
