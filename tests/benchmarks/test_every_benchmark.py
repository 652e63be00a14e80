"""Every script of ``benchmarks/`` can at least be imported and asked what it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py"))


@pytest.fixture(scope="module")
def told():
    """What each says to ``--help``, with its status; all are asked by one process, which forks for each."""
    program = """
import os, runpy, sys
import numpy, scipy.special  # once for all
for path in sys.argv[1:]:
    sys.stdout.flush()
    if not (pid := os.fork()):
        sys.argv = [path, "--help"]
        sys.path.insert(0, os.path.dirname(path))
        print("====", path)
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as ended:
            print("==ended", ended.code)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
"""
    command = [sys.executable, "-c", program, *(str(BENCHMARKS / name) for name in SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    parts = done.stdout.split("==== ")[1:]
    return {Path(part.partition("\n")[0]).name: part for part in parts}, done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_tells_what_it_does_and_measures_nothing_yet(told, name):
    texts, errors = told
    assert "usage:" in texts[name], errors
    assert texts[name].endswith("==ended 0\n"), errors


def test_each_is_in_the_list():
    listed = (BENCHMARKS / "README.md").read_text("utf-8")
    assert [name for name in SCRIPTS if f"| `{name}` |" not in listed] == []
