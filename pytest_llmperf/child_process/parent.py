"""The parent's side: start a child, hear its first line, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pytest_llmperf.core.errors import LlmPerfUsageError

_START_S = 20.0
_STOP_S = 2.0
_PACKAGE = Path(__file__).resolve().parents[1]
# The package's own __init__ brings pytest along, which a child has no use for: a bare package stands in.
_PROGRAM = (
    "import sys, types; package = types.ModuleType('pytest_llmperf'); "
    f"package.__path__ = [{str(_PACKAGE)!r}]; sys.modules['pytest_llmperf'] = package; "
    "from {module} import run_child; run_child()"
)


def start(
    module: str, order: Mapping[str, Any], *, what: str
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """The process that runs *module*'s ``run_child`` on *order*, and what it says first.

    Raises LlmPerfUsageError that *what* did not start, with the reason: the ``error`` it says, else what it
    wrote on standard error.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-P", "-c", _PROGRAM.replace("{module}", module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=os.name == "posix",  # Ctrl-C reaches the parent, which then stops it in order
        )
        try:
            line = _first_line(process, json.dumps(order).encode() + b"\n")
            said: dict[str, Any] = json.loads(line) if line else {"error": None}
        except BaseException:
            _end(process)
            raise
        if "error" in said:
            _end(process)
            errors.seek(0)
            reason = said["error"] or errors.read().decode("utf-8", "replace").strip()[-2000:]
            raise LlmPerfUsageError(f"{what} did not start: {reason or 'no reason was given'}")
    return process, said


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it; harmless when it has ended."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()  # the child ends by itself when its input does
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _first_line(process: subprocess.Popen[bytes], order: bytes) -> bytes:
    """What the child says first; empty when it ended or took too long."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(order)
        process.stdin.flush()
    with process.stdout as stdout:
        return stdout.readline() if _readable(stdout) else b""


def _readable(stdout: IO[bytes]) -> bool:
    if os.name != "posix":
        return True  # select does not take pipes there
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        return bool(selector.select(_START_S))
