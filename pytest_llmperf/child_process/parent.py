"""The parent's side: start a child, hear its first line, stop it, and say why one has ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from pytest_llmperf.child_process.last_words import last_words
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.plain import plain

_START_S = 20.0
_STOP_S = 2.0
_TAIL_BYTES = 64 * 1024  #: of what it wrote, where its last words are looked for
_ENDED_S = 1.0  #: for a child that no longer answers to have ended
_PACKAGE = Path(__file__).resolve().parents[1]
# The package's own __init__ brings pytest along, which a child has no use for: a bare package stands in.
_PROGRAM = (
    "import sys, types; package = types.ModuleType('pytest_llmperf'); "
    f"package.__path__ = [{str(_PACKAGE)!r}]; sys.modules['pytest_llmperf'] = package; "
    "from {module} import run_child; run_child()"
)


class ChildGoneError(Exception):
    """A child ended that is still wanted; the text says which, and why."""


class Child:
    """A child that serves."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes], said: dict[str, Any]) -> None:
        self.said = said  #: its first line
        self._process = process
        self._errors = errors  #: what it writes on standard error

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def last_words(self, *, hide: Callable[[str], str]) -> str:
        """Why it ended, of one that no longer answers, safe to print on one line.

        *hide* takes secrets out of what it wrote.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDED_S)
        written = "" if self._errors.closed else _written(self._errors)
        return plain(last_words(hide(written), status=self._process.poll()))

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # the child ends by itself when its input does
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def start(module: str, order: Mapping[str, Any], *, what: str) -> Child:
    """The process that runs *module*'s ``run_child`` on *order*.

    Raises LlmPerfUsageError that *what* did not start, with the reason: the ``error`` it says, else what it
    wrote on standard error.
    """
    with contextlib.ExitStack() as if_it_fails:
        errors = if_it_fails.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-P", "-c", _PROGRAM.replace("{module}", module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=os.name == "posix",  # Ctrl-C reaches the parent, which then stops it in order
        )
        if_it_fails.callback(_end, process)
        line = _first_line(process, json.dumps(order).encode() + b"\n")
        said: dict[str, Any] = json.loads(line) if line else {"error": None}
        if "error" in said:
            _end(process)
            reason = said["error"] or _written(errors).strip()[-2000:]
            raise LlmPerfUsageError(f"{what} did not start: {reason or 'no reason was given'}")
        if_it_fails.pop_all()
    return Child(process, errors, said)


def _written(errors: IO[bytes]) -> str:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _TAIL_BYTES))
    return errors.read().decode("utf-8", "replace")


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
