"""The example as a gate: run, saved, repeated, and slowed down, alone and under pytest-xdist.

The same code twice must pass; a mock that is four times as slow must fail and say what regressed. The limits
are ten times the example's, so that only the comparison can fail. The times are real, and somebody else may
keep the machine busy: a sequence that fails is tried again, and what happened is printed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path("examples/assistant")
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
        normal, slow = (lenient(name, Path(folder)) for name in ("slo.yaml", "slow.yaml"))
        common = ["-n", workers, f"--llm-baseline={folder}/baselines"]
        session(*common, normal, "--save-baseline", "--llm-iterations=100", expected=0)
        session(*common, normal, expected=0)
        output = session(*common, slow, expected=1)
        for name in ("test_router", "test_orchestrator", "test_chat"):
            if not re.search(rf"{name}.* p95 .*n=\d+.*baseline.*x[\d.]+.*: proven", output):
                raise UnexpectedError(f"{output}\nThe slow session does not say how {name} regressed.")


def lenient(name: str, folder: Path) -> str:
    """The option that takes the example's file *name* with ten times its limits, as a copy in *folder*.

    Without those of p99, for which 100 requests are made where 30 prove what is to be proven.
    """
    text = (EXAMPLE / name).read_text("utf-8")
    text = text.replace("replies: replies.yaml", f"replies: '{EXAMPLE.absolute() / 'replies.yaml'}'")
    text = re.sub(r", p99_ms: \d+", "", text)
    text = re.sub(r"(p\d\d_ms): (\d+)", r"\1: \g<2>0", text)
    text = re.sub(r"(tokens_per_s): (\d+)0", r"\1: \2", text)
    (folder / name).write_text(text, "utf-8")
    return f"--llm-slo-file={folder / name}"


def session(*arguments: str, expected: int) -> str:
    """The output of pytest on the example. Raises UnexpectedError unless it exits as expected."""
    command = [sys.executable, "-m", "pytest", str(EXAMPLE / "test_assistant.py"), *arguments]
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
