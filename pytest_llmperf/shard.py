"""One load profile on several processes: who runs which part, and how they begin together.

`run_shard` runs one part, in a pytest process of its own; it is a plain function of a picklable `Spec`, so
any ``concurrent.futures.Executor`` can call it, here or on another machine. What a part measured comes back
as JSON text. `shard_worker` is the other end, inside that process. A `Crew` is where the parts run: this
machine (`LocalCrew`), or a cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

#: Where the other process finds its `Spec`.
SPEC = "LLMPERF_SHARD"

#: How long the processes may take to collect, to set fixtures up and to warm up.
MEETING_S = 180.0


class Meeting(Protocol):
    """Where the parts wait for each other, so that all begin at once. Picklable."""

    def here(self, index: int) -> contextlib.AbstractContextManager[LoopbackMeeting]:
        """The meeting as part *index*'s own process can reach it, on the machine that runs it."""
        ...


class Crew(Protocol):
    """Those who carry out the parts of one load run."""

    executor: Executor
    meeting: Meeting

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of the samples, at the end."""
        ...

    def lost(self, index: int) -> None:
        """A part is lost: the others do not wait for it."""
        ...

    def close(self) -> None:
        """Every part that still runs ends now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One part of a load run, for `run_shard`."""

    node_ids: tuple[str, ...]  #: of the tests that take part
    arguments: tuple[str, ...]  #: of pytest
    directory: str  #: to start pytest in
    index: int
    of: int
    meeting: Meeting
    mock_url: str | None = None  #: of the leading session's mock server, where it uses one

    def moved(self, old: str, new: str) -> Spec:
        """The same for a machine on which the project that is at *old* here is at *new*."""
        arguments = tuple(argument.replace(old, new) for argument in self.arguments)
        return replace(self, directory=self.directory.replace(old, new), arguments=arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """What became of one part."""

    index: int
    text: str | None  #: what `shard_worker` wrote; None when it is lost
    words: str = ""  #: the last that its process said


def run_shard(spec: Spec) -> ShardResult:
    """Run one part in a pytest process of its own, and wait for it."""
    with (
        spec.meeting.here(spec.index) as meeting,
        tempfile.TemporaryDirectory(prefix="llmperf-shard-") as folder,
    ):
        given, result, log = (Path(folder) / name for name in ("spec", "result", "log"))
        given.write_bytes(pickle.dumps((replace(spec, meeting=meeting), str(result))))
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the user's own tests
                [sys.executable, "-m", "pytest", *spec.arguments],
                cwd=spec.directory,
                env={**_environment(), SPEC: str(given)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the session that leads, which tells this one
            )
            process.wait()
        text = result.read_text("utf-8") if result.exists() else None
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("E  ", "ERROR", "INTERNALERROR", "FAILED"))]
    words = (telling or lines or [f"it ended with {process.returncode} and without a word"])[-1][:300]
    return ShardResult(index=spec.index, text=text, words=words)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}


def result_of(future: Future[ShardResult], spec: Spec) -> ShardResult:
    """What became of a part that was given to an executor; one whose worker is gone is lost."""
    if not future.done():
        return ShardResult(index=spec.index, text=None, words="it was not waited for")
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - whatever an executor raises, the part is lost
        return ShardResult(index=spec.index, text=None, words=f"{type(error).__name__}: {error}")


def meet(spec: Spec, stop: Callable[[], object]) -> None:
    """In a part's own process: wait until every part is there; *stop* is called when the run should end."""
    assert isinstance(spec.meeting, LoopbackMeeting)
    spec.meeting.join(spec.index, stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackMeeting:
    """A meeting at a port of this machine, see `Host`."""

    port: int
    token: str

    @contextlib.contextmanager
    def here(self, index: int) -> Iterator[LoopbackMeeting]:  # noqa: ARG002 - the same for every part
        """Itself: every part runs on this machine."""
        yield self

    def join(self, index: int, stop: Callable[[], object]) -> None:
        """Say that part *index* is ready, and wait for the word to begin; *stop* is called at the end."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=MEETING_S)
        connection.sendall(json.dumps({"token": self.token, "ready": index}).encode() + b"\n")
        if not connection.recv(1):
            raise ConnectionError("the leading session is gone")
        connection.settimeout(None)

        def watch() -> None:
            with contextlib.suppress(OSError), connection:
                connection.recv(1)  # the end: the leading session wants no more, or is gone
                stop()

        threading.Thread(target=watch, daemon=True).start()


class Host:
    """The side of who leads: all *parts* begin when they are there, and end when it closes.

    *all_here* is called, on a thread of the host, when every part is there; without it they begin then.
    """

    def __init__(self, parts: Iterable[int], *, all_here: Callable[[], object] | None = None) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._missing = set(parts)
        self._all_here = all_here or self.begin
        self._guests: list[socket.socket] = []
        self._lock = threading.RLock()
        self._closed = False
        self.meeting = LoopbackMeeting(port=self._server.getsockname()[1], token=secrets.token_hex(16))
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def lost(self, index: int) -> None:
        """A part is lost: the others do not wait for it."""
        with self._lock:
            if index in self._missing:
                self._arrived(index)

    def _receive(self) -> None:
        while not self._closed:
            try:
                guest, _ = self._server.accept()
                guest.settimeout(5.0)
                hello = json.loads(guest.makefile("rb").readline())
            except (OSError, ValueError):
                continue
            if hello.get("token") != self.meeting.token:
                guest.close()
                continue
            with self._lock:
                self._guests.append(guest)
                self._arrived(hello["ready"])

    def _arrived(self, index: int) -> None:
        self._missing.discard(index)
        if not self._missing and self._guests:
            self._all_here()

    def begin(self) -> None:
        """Give the word."""
        with self._lock:
            for guest in self._guests:
                with contextlib.suppress(OSError):
                    guest.sendall(b"g")

    def close(self) -> None:
        """Every part that still runs ends now."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for guest in self._guests:
            guest.close()


class LocalCrew:
    """Runs parts on this machine: a thread for each waits for its process."""

    def __init__(self, count: int) -> None:
        self._host = Host(range(count))
        self.executor: Executor = ThreadPoolExecutor(max_workers=count)
        self.meeting: Meeting = self._host.meeting
        self.remarks: tuple[str, ...] = ()

    def lost(self, index: int) -> None:
        """A part is lost: the others do not wait for it."""
        self._host.lost(index)

    def close(self) -> None:
        """Every part that still runs ends now."""
        self._host.close()
