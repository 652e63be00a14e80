"""What the installed plugin adds to the start of pytest: `python benchmarks/startup.py`.

Runs pytest in a nearly empty project, with the plugin and with `-p no:llmperf` in turn, and prints the
median of the pairs' differences. Pairs, because the machine's mood changes slower than one pair takes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WITH: tuple[str, ...] = ()
WITHOUT = ("-p", "no:llmperf")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=40, help="pairs of runs (default: 40)")
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        for arguments in (WITH, WITHOUT):  # byte code is compiled, files are in the cache
            seconds(project, arguments)
        measured = [pair(project) for _ in range(pairs)]
    plain = statistics.median(without for _, without in measured)
    added = [1000 * (with_plugin - without) for with_plugin, without in measured]
    low, middle, high = statistics.quantiles(added, n=4)
    print(f"pytest without the plugin  {1000 * plain:6.1f} ms  median of {pairs}")
    spread = f"middle half {low:.1f} to {high:.1f}"
    print(f"added by the plugin        {middle:6.1f} ms  median of the pairs, {spread}")


def pair(project: Path) -> tuple[float, float]:
    """Seconds with and without the plugin, measured in random order."""
    if random.random() < 0.5:
        with_plugin = seconds(project, WITH)
        return with_plugin, seconds(project, WITHOUT)
    without = seconds(project, WITHOUT)
    return seconds(project, WITH), without


def seconds(project: Path, arguments: tuple[str, ...]) -> float:
    """Wall time of one run of pytest in *project*."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    started = time.perf_counter()
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
