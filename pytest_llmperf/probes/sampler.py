"""Samples sources on a thread of its own, for as long as a scenario is measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmperf.core.resources import Resources, Usage, thinned, thinned_times
from pytest_llmperf.core.timeline import Reading
from pytest_llmperf.probes.gauges import Gauges
from pytest_llmperf.probes.sources import LEAST_S, Source

#: Twice a second shows what a scenario of seconds used and costs well under 1 % of a core.
INTERVAL_S = 0.5


@dataclass(slots=True)
class _Tally:
    """One gauge so far."""

    weighted: float = 0.0
    weight_s: float = 0.0
    peak: float = 0.0
    n: int = 0
    last: float = 0.0
    since_s: float | None = None

    def add(self, value: float, now_s: float) -> None:
        """Take a value that held since the one before."""
        if self.since_s is not None:
            self.weighted += value * (now_s - self.since_s)
            self.weight_s += now_s - self.since_s
        self.since_s, self.last = now_s, value
        self.peak = max(self.peak, value)
        self.n += 1

    @property
    def usage(self) -> Usage:
        mean = self.weighted / self.weight_s if self.weight_s else self.last
        return Usage(mean=mean, peak=self.peak, n=self.n)


class Sampler:
    """Samples *sources* between `begin` and `end`, and takes what *gauges* tell by themselves meanwhile.

    *missing* says why what no source tells is not sampled, *notes* what to know of the rest.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        missing: Mapping[str, str],
        notes: Sequence[str] = (),
        gauges: Gauges | None = None,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._sources = list(sources)
        self._missing = dict(missing)
        self._notes = tuple(notes)
        self._gauges = gauges
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.began_s = 0.0  #: on the clock; 0 before
        self._at_s: list[float] = []
        self._names = tuple(name for one in sources for name in one.names)
        self._line: dict[str, list[float | None]] = {}
        self._tallies: dict[str, _Tally] = {}

    def begin(self) -> None:
        """Take the first sample and go on by itself; harmless when it has begun."""
        if self._thread is not None or self._ended.is_set():
            return
        self.began_s = self._clock()
        self._sample()
        self._thread = threading.Thread(target=self._run, name="llmperf resources", daemon=True)
        self._thread.start()
        if self._gauges is not None:
            self._gauges.begin(self._take)

    def end(self) -> None:
        """Take the last sample and stop; harmless when it has not begun, or has ended."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._gauges is not None:
            self._gauges.end()
        if self._thread is not None:
            self._thread.join()
            self._sample()
        for source in self._sources:
            source.close()

    @property
    def taken(self) -> Resources:
        """What is known so far, the present moment included."""
        if self._thread is not None and not self._ended.is_set():
            self._sample()
        with self._lock:
            usage = {name: tally.usage for name, tally in self._tallies.items()}
            reasons = {name: self._why(name) for name in self._names if name not in usage}
            return Resources(
                seconds=self._at_s[-1] if self._at_s else 0.0,
                usage=usage,
                missing={**self._missing, **reasons},
                notes=self._notes,
                at_s=thinned_times(self._at_s),
                line={name: thinned(points) for name, points in self._line.items()},
            )

    @property
    def readings(self) -> Sequence[Reading]:
        """What the server said of itself so far, on the clock of ``perf_counter``."""
        return () if self._gauges is None else tuple(self._gauges.readings)

    @property
    def remarks(self) -> Sequence[str]:
        """What to know of `readings`."""
        return () if self._gauges is None or not self._gauges.remark else (self._gauges.remark,)

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            now_s = self._clock()
            found: dict[str, float] = {}
            for source in list(self._sources):
                try:
                    found |= source.sample(now_s)
                except Exception as error:  # noqa: BLE001 - a probe that breaks ends itself, never the test
                    self._sources.remove(source)
                    why = f"sampling broke ({type(error).__name__}: {error})"
                    self._missing |= dict.fromkeys(source.names, why)
            self._note(found, now_s)

    def _take(self, reading: Reading) -> None:
        with self._lock:
            self._note(reading.told, self._clock())

    def _note(self, found: Mapping[str, float], now_s: float) -> None:
        for name, value in found.items():
            self._tallies.setdefault(name, self._tally()).add(value, now_s)
            self._line.setdefault(name, [None] * len(self._at_s))
        self._at_s.append(now_s - self.began_s)
        for name, points in self._line.items():
            points.append(found.get(name))

    def _tally(self) -> _Tally:
        return _Tally(since_s=self.began_s)

    def _why(self, name: str) -> str:
        if name in self._missing:
            return self._missing[name]
        if self._at_s and self._at_s[-1] < LEAST_S:
            return f"it was measured for less than {LEAST_S} s, too short to tell"
        return "nothing was told of it"
