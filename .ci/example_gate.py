"""The example as a gate: saved, repeated, and slowed by half, alone and under pytest-xdist.

The same code twice must pass; a mock that is slower by half must fail and say what regressed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = "examples/assistant"
SLOW = "examples/assistant/slow.yaml"


def main() -> None:
    """Run the three sessions in both ways."""
    for workers in ("0", "2"):
        with tempfile.TemporaryDirectory() as folder:
            common = ["-n", workers, f"--llm-baseline={folder}"]
            session(*common, "--save-baseline", expected=0)
            if not list(Path(folder).rglob("*.*")):
                sys.exit("--save-baseline wrote nothing")
            session(*common, expected=0)
            output = session(*common, f"--llm-slo-file={SLOW}", expected=1)
            for name in ("test_router", "test_orchestrator", "test_chat"):
                if not re.search(rf"{name}.*p95.*n=\d+.*baseline.*x1\.\d+", output):
                    sys.exit(f"the slow session does not say how {name} regressed:\n{output}")


def session(*arguments: str, expected: int) -> str:
    """Run pytest on the example; leave with its output unless it exits as expected."""
    command = [sys.executable, "-m", "pytest", EXAMPLE, *arguments]
    started = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False
    )
    print(f"exit {done.returncode} in {time.perf_counter() - started:.0f} s: pytest {' '.join(command[3:])}")
    if done.returncode != expected:
        sys.exit(f"expected exit {expected}:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
