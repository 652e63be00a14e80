"""The scenarios of another revision of the project, in lockstep with this session's.

``--llm-ab git:REV`` checks REV out into a git worktree and runs its scenarios there in a second pytest
process, which `peer` makes do one iteration at a time when it is told to. Messages are lines of JSON on
a loopback socket. Neither the worktree nor the process outlives the session, however that ends: the process
reads the end of its connection, and `reaper` removes the worktree.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pytest_llmperf.ab.arms import GIT, Base
from pytest_llmperf.ab.channel import Channel
from pytest_llmperf.ab.reaper import ENDING_S
from pytest_llmperf.child_process.last_words import last_words
from pytest_llmperf.core import codec, loopback
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.options import Options

#: How long the other process may take to import and collect.
COLLECTING_S = 120.0

#: How long who connects may take to prove that it is the other process, which does so at once.
_PROOF_S = 2.0

#: How long a process whose connection has ended may take to have ended.
_ENDED_S = 1.0

#: Where the other process finds this one, and what it proves itself with.
ADDRESS, TOKEN = "LLMPERF_PEER_ADDRESS", "LLMPERF_PEER_TOKEN"


class _Gone(Exception):  # noqa: N818 - the other process is gone
    """The other process ended; the text says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A worktree of one revision."""

    label: str  #: as the user wrote it: ``git:origin/main``
    commit: str  #: short hash
    top: Path  #: of the project's repository
    directory: Path  #: of the worktree
    reaper: subprocess.Popen[str]  #: cleans up when this process is gone

    @classmethod
    def make(cls, name: str, root: Path) -> Checkout:
        """Check out the revision that *name* (``git:REV``) means. Raises LlmPerfUsageError."""
        revision = name.removeprefix(GIT)
        top = Path(_git(root, name, "rev-parse", "--show-toplevel"))
        commit = _git(
            root, name, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        directory = Path(tempfile.mkdtemp(prefix="llmperf-base-")).resolve() / "tree"
        reaper = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "pytest_llmperf.ab.reaper", str(top), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        checkout = cls(label=name, commit=commit[:7], top=top, directory=directory, reaper=reaper)
        try:
            hooks = ["-c", "core.hooksPath=/dev/null"]
            _git(top, name, *hooks, "worktree", "add", "--detach", str(directory), commit)
        except BaseException:
            checkout.remove()
            raise
        return checkout

    def here(self, path: Path) -> Path | None:
        """The worktree's counterpart of *path*; None for a path outside the project, or not in REV."""
        if not path.is_relative_to(self.top):
            return None
        there = self.directory / path.relative_to(self.top)
        return there if there.exists() else None

    def remove(self) -> None:
        """Remove the worktree, and what git knows of it."""
        self.reaper.communicate()


class Revision:
    """The process that runs another revision's scenarios."""

    def __init__(self, checkout: Checkout, process: subprocess.Popen[bytes], log: Path) -> None:
        self.label = f"{checkout.label} ({checkout.commit})"
        self._checkout = checkout
        self._process = process
        self._log = log
        self._channel: Channel | None = None
        self._scenarios: frozenset[str] = frozenset()
        self._errors: list[str] = []
        self._current: str | None = None

    @classmethod
    def start(cls, name: str, *, root: Path, files: Sequence[Path], arguments: Sequence[str]) -> Revision:
        """Start the process for *files*, and wait until it has collected them.

        Raises LlmPerfUsageError for a revision that does not exist; one that cannot be collected
        gives a base without scenarios, which says so.
        """
        checkout = Checkout.make(name, root)
        token = secrets.token_hex(16)
        log = checkout.directory.parent / "log"
        try:
            with socket.create_server((loopback.ADDRESS, 0)) as server:
                environment = {
                    **_environment(checkout),
                    ADDRESS: str(server.getsockname()[1]),
                    TOKEN: token,
                }
                there = [str(path) for file in files if (path := checkout.here(file)) is not None]
                directory = checkout.here(root) or checkout.directory
                command = [os.environ.get("LLMPERF_AB_PYTHON", sys.executable), "-m", "pytest", *arguments]
                with log.open("wb") as output:
                    process = subprocess.Popen(  # noqa: S603 - the user's own tests
                        [*command, f"--rootdir={directory}", *there],
                        cwd=directory,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        # Ctrl-C is for this process, which tells the other. A session would keep it off too,
                        # but Linux shares the processor by sessions: neighbours would slow one arm only.
                        process_group=0,
                    )
                if checkout.reaper.stdin is not None:
                    checkout.reaper.stdin.write(f"{process.pid}\n")
                    checkout.reaper.stdin.flush()
                revision = cls(checkout, process, log)
                if there:
                    revision._meet(server, token)
        except BaseException:
            checkout.remove()
            raise
        return revision

    def base(self, node_id: str) -> Base:
        """The base arm of the scenario *node_id*."""
        if node_id in self._scenarios:
            base = Base(label=self.label)
            base.remote = partial(self._iterate, base, node_id)
            return base
        if self._errors:
            return Base(
                label=self.label, missing=f"{self.label} cannot be run: {self._errors[0]}", broken=True
            )
        return Base(label=self.label, missing=f"not in {self.label}: there is nothing to compare with")

    def close(self) -> None:
        """End the process and remove the worktree."""
        if self._channel is not None:
            self._channel.close()
        try:
            self._process.wait(timeout=ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._checkout.remove()

    def _meet(self, server: socket.socket, token: str) -> None:
        """Wait for the process to connect and tell what it has collected."""
        deadline_s = time.monotonic() + COLLECTING_S
        server.settimeout(0.2)
        try:
            self._channel = self._accept(server, token, deadline_s)
            with self._channel.within(deadline_s - time.monotonic()):
                hello = self._receive()
            self._scenarios, self._errors = frozenset(hello["scenarios"]), hello["errors"]
        except TimeoutError:
            self._errors = [f"it did not collect its tests within {COLLECTING_S:.0f} s"]
        except _Gone as error:
            self._errors = [str(error)]

    def _accept(self, server: socket.socket, token: str, deadline_s: float) -> Channel:
        """The connection of the process that was given *token*; any other is closed."""
        while self._process.poll() is None:
            if time.monotonic() > deadline_s:
                raise TimeoutError
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            channel = Channel(connection)
            if channel.begins_with(token, seconds=_PROOF_S):
                return channel
            channel.close()
        raise _Gone(self._last_words())

    def _iterate(self, base: Base, node_id: str, measured: bool) -> Iteration | None:  # noqa: FBT001 - Base.remote
        try:
            if self._current != node_id:
                self._current = node_id
                self._send({"scenario": node_id})
            self._send({"measured": measured})
            answer = self._receive()
        except (OSError, _Gone) as error:
            text = str(error) if isinstance(error, _Gone) else self._last_words()
            self._errors, self._scenarios = [text], frozenset()
        else:
            if "iteration" in answer:
                return codec.loads(json.dumps(answer["iteration"]), Iteration)
            text = str(answer.get("ended"))
            self._current = None
        base.missing, base.broken = f"{self.label} could not run it: {text}", True
        return None

    def _send(self, message: dict[str, Any]) -> None:
        if self._channel is None:
            raise _Gone(self._last_words())
        self._channel.send(message)

    def _receive(self) -> dict[str, Any]:
        message = None if self._channel is None else self._channel.receive()
        if message is None:
            raise _Gone(self._last_words())
        return message

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDED_S)  # its connection ends a little before it does
        return last_words(self._log.read_text("utf-8", "replace"), status=self._process.poll())


def arguments_for(options: Options) -> list[str]:
    """What makes a session of another revision measure as this one does, told by the other's orders."""
    selected = [
        *(("backend", name) for name in options.backends),
        ("url", options.url),
        *(("model", name) for name in options.models),
        ("seed", options.seed),
        ("cache", options.overrides.get("cache")),
    ]
    own = [f"--llm-{key}={value}" for key, value in selected if value is not None]
    return ["-p", "pytest_llmperf.ab.peer", "-p", "no:cacheprovider", "--llm-ab=", "--llm-gate=off", *own]


def _git(directory: Path, name: str, *arguments: str) -> str:
    try:
        result = subprocess.run(  # noqa: S603 - fixed arguments, and a commit that git itself gave
            ["git", *arguments],  # noqa: S607 - the user's git
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LlmPerfUsageError(f"--llm-ab {name}: git cannot be run: {error}") from None
    if result.returncode:
        why = result.stderr.strip().splitlines()[-1:] or ["no such revision"]
        raise LlmPerfUsageError(f"--llm-ab {name}: {why[0]} (git {arguments[0]} in {directory}).")
    return result.stdout.strip()


def _environment(checkout: Checkout) -> dict[str, str]:
    """The environment of the other process: this one's, with the project's import paths moved over there.

    An editable install or a src layout puts paths of the project on ``sys.path``: their counterparts
    come first, so that REV's own code is imported and not this revision's.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LLMPERF_", "PYTEST_XDIST"))
    }
    moved = [checkout.here(Path(entry).resolve()) for entry in sys.path if entry]
    source = checkout.directory / "src"
    first = [path for path in (*moved, source if source.is_dir() else None) if path is not None]
    others = kept.get("PYTHONPATH", "").split(os.pathsep)
    paths = dict.fromkeys([*map(str, first), *(entry for entry in others if entry)])
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}
