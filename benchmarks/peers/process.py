"""Runs a client's command in a process group of its own, for a bounded time, and sees what it uses."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_EVERY_S = 0.1
#: Every so many looks: who the descendants are; and so often where it is asked what memory they have.
SCAN_EVERY, SCAN_MEMORY_EVERY = 5, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a client's processes used together."""

    cpu: tuple[tuple[float, float], ...]  #: at times of ``time.perf_counter()``: seconds of processor so far
    peak_mb: float  #: the most memory that was seen of all at once, or ever of one; 0 if it was not asked for

    def cpu_between(self, start_s: float, end_s: float) -> float:
        """Seconds of processor between two times."""
        return self._cpu_at(end_s) - self._cpu_at(start_s)

    def _cpu_at(self, when_s: float) -> float:
        at = min(max(bisect_left(self.cpu, (when_s, 0.0)), 1), len(self.cpu) - 1)
        (left_s, left), (right_s, right) = self.cpu[at - 1], self.cpu[at]
        return left + (right - left) * (when_s - left_s) / (right_s - left_s)


class ClientFailedError(Exception):
    """A client did not end well, or not in time."""


def run(
    command: Sequence[str], *, core: int, timeout_s: float = 180, memory: bool = True, **environment: str
) -> Used:
    """Run *command* on *core*. Raises ClientFailedError; nothing of it is left running in any case.

    *environment* is its own, but for LOG: where its words go. Adding up its processes' *memory* takes some
    milliseconds each time, of the server's core too: not where bias is measured.
    """
    log = Path(environment.pop("LOG"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        watch = _Watch(process.pid, memory=memory)
        late = threading.Event()

        def stop() -> None:
            late.set()
            watch.scan()
            _end(process.pid, watch.descendants)

        timer = threading.Timer(timeout_s, stop)
        timer.start()
        try:
            process.wait()
        finally:  # also when the benchmark itself is interrupted
            timer.cancel()
            watch.stop()
            _end(process.pid, watch.descendants)
    words = log.read_text("utf-8", "replace").strip()
    if late.is_set():
        raise ClientFailedError(f"not done after {timeout_s:.0f} s; last words: {words[-200:]}")
    if process.returncode:
        raise ClientFailedError(f"ended with {process.returncode}: {_reason(words)}")
    return Used(cpu=tuple(watch.cpu), peak_mb=watch.peak_bytes / 1e6)


def _reason(words: str) -> str:
    """The first line that speaks of an error with what follows, else the last words."""
    found = re.search(r"\w*Error\b", words)
    return words[-300:] if found is None else words[found.start() :][:300]


def _end(group: int, descendants: Sequence[psutil.Process]) -> None:
    """Kill a process group, and descendants that left it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    for process in descendants:
        with contextlib.suppress(psutil.Error):  # it checks that the id was not given to another
            process.kill()


class _Watch:
    """Looks at a process and its descendants ten times a second."""

    def __init__(self, pid: int, *, memory: bool) -> None:
        self.cpu: list[tuple[float, float]] = [(time.perf_counter(), 0.0)]
        self.peak_bytes = 0
        self.descendants: list[psutil.Process] = []
        self._root = psutil.Process(pid)
        self._memory = memory
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def scan(self) -> None:
        """See who descends from the process."""
        with contextlib.suppress(psutil.Error):
            self.descendants = self._root.children(recursive=True)

    def _run(self) -> None:
        # it shares the server's core, and the server goes first
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        look, every = 0, SCAN_MEMORY_EVERY if self._memory else SCAN_EVERY
        while not self._stopped.wait(LOOK_EVERY_S):
            with contextlib.suppress(psutil.Error):
                if look % every == 0:
                    self.scan()
                    if self._memory:
                        self._see_memory()
                self._see_cpu()
            look += 1

    def _see_cpu(self) -> None:
        seconds = 0.0
        for process in (self._root, *self.descendants):
            with contextlib.suppress(psutil.NoSuchProcess):  # what it used is in its parent's times then
                seconds += sum(process.cpu_times()[:4])
        # a child that has just ended may be in neither: time never runs back
        self.cpu.append((time.perf_counter(), max(seconds, self.cpu[-1][1])))

    def _see_memory(self) -> None:
        together = largest = 0
        for process in (self._root, *self.descendants):
            with contextlib.suppress(psutil.Error, OSError):
                # pages that are shared count in part for each
                together += process.memory_full_info().pss
                # not ru_maxrss: that begins with what this process has, of which the client is a fork
                status = Path(f"/proc/{process.pid}/status").read_text("utf-8", "replace")
                found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)  # none of one that has ended
                largest = max(largest, int(found[1]) * 1024 if found else 0)
        self.peak_bytes = max(self.peak_bytes, together, largest)
