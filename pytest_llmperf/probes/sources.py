"""What can be sampled without a GPU: processes, this machine, and the process that sends the requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import psutil

from pytest_llmperf.probes.server import Members

#: CPU is told of at least this long: the kernel counts it in ticks of 10 ms.
LEAST_S = 0.2
#: How often the server's processes are looked up; between two times only known ones are asked.
LOOKUP_S = 2.0


class Source(Protocol):
    """Something to sample."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it can tell, by the names of `core.resources.GAUGES`."""

    def sample(self, now_s: float) -> Mapping[str, float]:
        """The values at *now_s*; CPU is that since the sample before, and left out when that is too near."""

    def close(self) -> None:
        """Nothing is sampled any more."""


class _Rate:
    """Percent of a clock that grows with work."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._done = 0.0

    def percent(self, worked: float, now_s: float) -> float | None:
        """*worked* is how much was done since the last call."""
        self._done += worked
        if self._since_s is None:
            self._since_s, self._done = now_s, 0.0
            return None
        if now_s - self._since_s < LEAST_S:
            return None
        share = 100 * self._done / (now_s - self._since_s)
        self._since_s, self._done = now_s, 0.0
        return max(0.0, share)


class Server:
    """The server's processes together."""

    names = ("rss_mb", "cpu_percent")

    def __init__(self, members: Members) -> None:
        self._members = members
        self._processes: list[psutil.Process] = []
        self._looked_s = float("-inf")
        self._worked_s: dict[int, float] = {}  #: CPU time so far, by process
        self._rate = _Rate()

    def sample(self, now_s: float) -> Mapping[str, float]:
        """Memory and CPU; nothing when every process is gone."""
        if now_s - self._looked_s >= LOOKUP_S:
            self._processes, self._looked_s = self._members(), now_s
        rss, worked, seen = 0, 0.0, {}
        for process in self._processes:
            with suppress(psutil.Error), process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue  # it ended, and whoever started it has not asked how: no server of 0 MB
                times = process.cpu_times()
                total = times.user + times.system
                rss += process.memory_info().rss
                seen[process.pid] = total
                worked += total - self._worked_s.get(process.pid, total)
        self._worked_s = seen
        if not seen:
            return {}
        percent = self._rate.percent(worked, now_s)
        return {"rss_mb": rss / 1e6, **({} if percent is None else {"cpu_percent": percent})}

    def close(self) -> None:
        """Nothing to let go of."""


class Machine:
    """All of this machine."""

    names = ("machine_cpu_percent", "machine_memory_mb")

    def __init__(self) -> None:
        self._rate = _Rate()
        self._busy: float | None = None

    def sample(self, now_s: float) -> Mapping[str, float]:
        """Memory that is not available to others, and CPU of all cores."""
        times, memory = psutil.cpu_times(), psutil.virtual_memory()
        busy = times.user + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
        busy += getattr(times, "nice", 0.0) + getattr(times, "steal", 0.0)
        worked = 0.0 if self._busy is None else busy - self._busy
        self._busy = busy
        percent = self._rate.percent(worked / (psutil.cpu_count() or 1), now_s)
        found = {"machine_memory_mb": (memory.total - memory.available) / 1e6}
        return found if percent is None else {**found, "machine_cpu_percent": min(100.0, percent)}

    def close(self) -> None:
        """Nothing to let go of."""


class Generator:
    """The process that sends the requests, which is this one."""

    names = ("generator_cpu_percent", "generator_rss_mb")

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._rate = _Rate()
        self._worked_s: float | None = None

    def sample(self, now_s: float) -> Mapping[str, float]:
        """Memory and CPU, with all threads."""
        total = time.process_time()
        worked = 0.0 if self._worked_s is None else total - self._worked_s
        self._worked_s = total
        percent = self._rate.percent(worked, now_s)
        found = {"generator_rss_mb": self._process.memory_info().rss / 1e6}
        return found if percent is None else {**found, "generator_cpu_percent": percent}

    def close(self) -> None:
        """Nothing to let go of."""
