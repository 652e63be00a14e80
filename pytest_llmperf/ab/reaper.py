"""Removes a worktree, and what runs in it, when the session that made it is gone: however it ended.

Started as ``python -m pytest_llmperf.ab.reaper TOP DIRECTORY`` before the worktree is made. The session
holds the other end of its standard input, and writes the process id of what it starts there; the end of
the input is the end of the session, also when it was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

#: How long what runs in the worktree may take to end by itself.
ENDING_S = 10.0


def main(top: Path, directory: Path) -> None:
    """Wait for the end of standard input, then clean up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session
    for line in sys.stdin:
        process = int(line)
        sys.stdin.read()
        _end(process)
        break
    os.chdir(top)
    for arguments in (["worktree", "remove", "--force", str(directory)], ["worktree", "prune"]):
        subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607
    shutil.rmtree(directory.parent, ignore_errors=True)


def _end(process: int) -> None:
    deadline_s = time.monotonic() + ENDING_S
    while _runs(process) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    if _runs(process):
        os.kill(process, signal.SIGTERM)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
