"""What the installed plugin adds to the start of pytest: `python benchmarks/startup.py`.

Runs pytest in a nearly empty project, with the plugin and with `-p no:llmperf` in turn, and prints the
median and the middle half of the pairs' differences. Pairs, because the machine's mood changes slower than
one pair takes; processor time beside wall time, because others may use the machine.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

WITH: tuple[str, ...] = ()
WITHOUT = ("-p", "no:llmperf")


class Spent(NamedTuple):
    """What one run of pytest took, in milliseconds."""

    wall: float
    processor: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=40, help="pairs of runs (default: 40)")
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        for arguments in (WITH, WITHOUT):  # byte code is compiled, files are in the cache
            run(project, arguments)
        measured = [pair(project) for _ in range(pairs)]
    for index, name in enumerate(Spent._fields):
        plain = statistics.median(without[index] for _, without in measured)
        low, middle, high = statistics.quantiles([one[index] - other[index] for one, other in measured], n=4)
        added = f"{middle:.1f} ms ({low:.1f} to {high:.1f})"
        print(f"{name} time: {plain:.0f} ms without the plugin, which adds {added}")


def pair(project: Path) -> tuple[Spent, Spent]:
    """A run with and a run without the plugin, in random order."""
    if random.random() < 0.5:
        with_plugin = run(project, WITH)
        return with_plugin, run(project, WITHOUT)
    without = run(project, WITHOUT)
    return run(project, WITH), without


def run(project: Path, arguments: tuple[str, ...]) -> Spent:
    """Run pytest in *project*."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    wall, processor = time.perf_counter(), children_s()
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return Spent(1000 * (time.perf_counter() - wall), 1000 * (children_s() - processor))


def children_s() -> float:
    """Processor time of the processes that have ended, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
