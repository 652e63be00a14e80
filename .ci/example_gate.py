"""The example as a gate: run, saved, repeated, and slowed by half, alone and under pytest-xdist.

The same code twice must pass; a mock that is slower by half must fail and say what regressed. The times are
real, and a machine that somebody else keeps busy can break a limit: a sequence that fails is tried again, and
what happened is printed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time

EXAMPLE = "examples/assistant/test_assistant.py"
SLOW = "examples/assistant/slow.yaml"
TRIES = 3


class UnexpectedError(Exception):
    """A session did not end as it must."""


def main() -> None:
    """Run the sessions in both ways."""
    for workers in ("0", "2"):
        for left in reversed(range(TRIES)):
            try:
                sequence(workers)
                break
            except UnexpectedError as error:
                print(error)
                if not left:
                    sys.exit(f"with -n {workers}: failed {TRIES} times")


def sequence(workers: str) -> None:
    """Save, repeat, and slow down."""
    with tempfile.TemporaryDirectory() as folder:
        common = ["-n", workers, f"--llm-baseline={folder}"]
        session(*common, "--save-baseline", "--llm-iterations=100", expected=0)
        session(*common, expected=0)
        output = session(*common, f"--llm-slo-file={SLOW}", expected=1)
        for name in ("test_router", "test_orchestrator", "test_chat"):
            if not re.search(rf"{name}.*p95.*n=\d+.*baseline.*x1\.\d+", output):
                raise UnexpectedError(f"{output}\nThe slow session does not say how {name} regressed.")


def session(*arguments: str, expected: int) -> str:
    """The output of pytest on the example. Raises UnexpectedError unless it exits as expected."""
    command = [sys.executable, "-m", "pytest", EXAMPLE, *arguments]
    started = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False
    )
    print(f"exit {done.returncode} in {time.perf_counter() - started:.0f} s: pytest {' '.join(command[3:])}")
    if done.returncode != expected:
        raise UnexpectedError(f"{done.stdout}\nExpected exit status {expected}, not {done.returncode}.")
    return done.stdout


if __name__ == "__main__":
    main()
