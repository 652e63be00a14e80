"""What every client is asked to do, and what is seen of it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """So many requests by so many users, each of whom asks again when its answer is there."""

    url: str  #: with /v1
    streams: int
    requests: int
    stream: bool = True
    spread_s: float = 0.0  #: users begin evenly over this time, where the client can do that

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").removesuffix("/v1").partition(":")
        return host, int(port)

    def json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a client's processes used together, from start to end."""

    cpu_s: float
    wall_s: float
    peak_mb: float  #: the most resident memory that all had at once
    words: str  #: what it printed


class ClientFailedError(Exception):
    """A client did not end well."""


def run(command: Sequence[str], *, core: int, timeout_s: float = 180, **environment: str) -> Used:
    """Run *command* on *core*, and see what it used with its children. Raises ClientFailedError."""
    log = Path(environment.pop("LOG"))
    began_s = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        peak = _Peak(process.pid)
        timer = threading.Timer(timeout_s, _end, [process.pid])
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        peak.stop()
    words = log.read_text("utf-8", "replace")
    if process.returncode:
        raise ClientFailedError(f"{command[0]} ended with {process.returncode}: {words[-600:]}")
    return Used(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.perf_counter() - began_s,
        peak_mb=max(peak.bytes, usage.ru_maxrss * 1024) / 1e6,
        words=words,
    )


def _end(pid: int) -> None:
    for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
        process.kill()


class _Peak:
    """Looks at the memory of a process and its descendants, now and then."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(0.2):
            try:
                process = psutil.Process(self._pid)
                together = [process, *process.children(recursive=True)]
                # shared pages would count once for each: proportional where the system tells it
                self.bytes = max(self.bytes, sum(one.memory_full_info().pss for one in together))
            except (psutil.Error, AttributeError):
                continue
