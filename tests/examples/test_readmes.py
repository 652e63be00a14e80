"""Every example does what its README shows: commands with an output are run, and it is compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.examples

ROOT = Path(__file__).parents[2]
READMES = sorted(ROOT.glob("examples/*/README.md"))
NEEDS = {
    "langchain": "langchain_openai"
}  # a command with the word, and what it needs besides the extra `test`
TRIES = 3  # times are real, and a machine that somebody else keeps busy can break a limit
BUDGET = "--llm-max-time=60s"  # and it would take every look that it is given
LONG = re.compile(r"(?<=\ds) \(\d+:\d\d:\d\d\)")  # pytest says "in 69.98s (0:01:09)" from a minute on
COMMAND = re.compile(
    r"^```console\n\$ (?P<command>(?:pytest|llmperf) .*)\n(?P<output>(?:(?!\$ |```).*\n)+)```", re.MULTILINE
)


def shown_in(readme):
    """Every command whose output is shown, with the output."""
    return [
        (found["command"], found["output"].splitlines())
        for found in COMMAND.finditer(readme.read_text("utf-8"))
    ]


SHOWN = [shown for readme in READMES for shown in shown_in(readme)]


def looks_like(line):
    """A pattern for a line of a README: numbers, units of time and spaces may differ, "..." is anything."""
    pattern = re.sub(r"\d+(\\\.\d+)?", r"[\\d.]+", re.escape(re.sub(r"=+", "=", line).strip()))
    pattern = re.sub(r"(?<=\[\\d\.\]\+\\ )(µs|ms|s)\b", "(µs|ms|s)", pattern)
    return re.sub(r"(\\ )+", r"\\s+", pattern).replace(r"\.\.\.", ".*").replace("=", "=+")


def first_difference(expected, output):
    """The first line that is shown and does not come, after all those before it."""
    lines = iter(LONG.sub("", output).splitlines())
    for line in expected:
        if line.strip() in {"", "..."}:
            continue  # lines in between, or none: a quiet machine is warned of nothing
        if not any(re.fullmatch(looks_like(line), come.strip()) for come in lines):
            return line
    return None


def test_a_session_that_takes_more_than_a_minute_looks_like_a_shorter_one():
    shown, came = "=== 41 passed in 40.56s ===", "== 41 passed in 69.98s (0:01:09) =="
    assert first_difference([shown], came) is None
    assert first_difference([shown], came.replace("41 passed", "1 failed, 40 passed")) == shown


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_an_example_with_tests_shows_what_comes_out(readme):
    assert shown_in(readme) or not list(readme.parent.glob("test_*.py"))


@pytest.mark.parametrize(("command", "expected"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_command_gives_the_output_that_is_shown(command, expected, tmp_path):
    for package in (package for word, package in NEEDS.items() if word in command):
        if os.environ.get("LLMPERF_CLIENTS") != "all":
            pytest.importorskip(package)
    leave = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=leave)
    for _ in range(TRIES):
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=os.environ
            | {
                "COLUMNS": "80",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTEST_ADDOPTS": BUDGET,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=240,
            check=False,
        )
        different = first_difference(expected, done.stdout)
        if done.returncode == 0 and different is None:
            return
    pytest.fail(f"exit {done.returncode}, shown and not seen: {different!r}\n{done.stdout}", pytrace=False)
