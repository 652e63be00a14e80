"""What the gate says of a live mock scenario: unchanged, and slower by 5, 12 and 20 %.

One baseline of 200 requests is stored, then sessions of pytest are run against it, one after another, as
a user would. It tells of this machine as it is now: where other programs keep it busy expect doubt, and
no failure of unchanged code. Run: ``python benchmarks/gate_live.py``, about 10 s a session
(``--sessions 5`` for a glance).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SLO = """version: 1
mock:
  latency: {{ttft: "lognormal({ttft:g}us, 0.1)", itl: "constant({itl:g}us)"}}
  replies: [{{contains: hello, text: "Hello! How can I help you?"}}]
"""
TEST = """from pytest_llmperf import llm_slo


@llm_slo()
def test_greeting(llm):
    assert "help" in llm.chat("hello").text
"""
TTFT_US, ITL_US = 30_000, 500


def session(project: Path, *, seed: int, factor: float, options: tuple[str, ...] = ()) -> str:
    """Run pytest in *project* with times multiplied by *factor*; the outcome."""
    project.joinpath("slo.yaml").write_text(SLO.format(ttft=TTFT_US * factor, itl=ITL_US * factor))
    command = [sys.executable, "-m", "pytest", "-q", f"--llm-seed={seed}", "--llm-report=run.json", *options]
    subprocess.run(command, cwd=project, check=False, stdout=subprocess.DEVNULL)
    outcome: str = json.loads(project.joinpath("run.json").read_text())["outcome"]
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=30, help="of each change (default: 30)")
    count = parser.parse_args().sessions
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        project.joinpath("test_greeting.py").write_text(TEST)
        session(project, seed=1000, factor=1.0, options=("--save-baseline",))
        for factor in (1.0, 1.05, 1.12, 1.2):
            found = Counter(session(project, seed=seed, factor=factor) for seed in range(count))
            told = ", ".join(f"{number} {outcome}" for outcome, number in found.most_common())
            print(f"{factor - 1:+.0%}: {told}")


if __name__ == "__main__":
    main()
