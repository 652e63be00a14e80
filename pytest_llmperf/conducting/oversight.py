"""What leads a load that several processes share: it begins, watches and ends their parts."""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from pytest_llmperf.load.lately import Lately
from pytest_llmperf.load.plan import Plan
from pytest_llmperf.loading.watching import left
from pytest_llmperf.measuring import Measuring
from pytest_llmperf.shards.crew import Crew
from pytest_llmperf.shards.meeting import MEETING_S, PATIENCE_S, Words
from pytest_llmperf.shards.shard import ShardResult, Spec

#: Seconds between two looks.
EVERY_S = 0.25

#: A part that says nothing for so long while it measures hangs.
SILENT_S = 60.0

#: Seconds for those that were killed to be gone.
_GONE_S = 5.0


@dataclass(slots=True)
class _Part:
    """How far one part is."""

    heard_s: float
    ready: bool = False
    measured: bool = False
    done: int = 0
    running: int = 0


class Oversight:
    """Watches *futures*, which *crew* carries out for *scenarios*, until all are done."""

    def __init__(
        self,
        crew: Crew,
        futures: Mapping[Future[ShardResult], Spec],
        scenarios: Sequence[Measuring],
        *,
        plan: Plan,
    ) -> None:
        self._crew = crew
        self._scenarios = scenarios
        self._lately = [Lately() for _ in scenarios]
        self._parts = {spec.index: _Part(heard_s=time.monotonic()) for spec in futures.values()}
        self._began_s: float | None = None
        self._reason = ""  #: why it was stopped
        self._done = 0  #: iterations of the parts that are gone
        self._plan = plan
        for future, spec in futures.items():
            future.add_done_callback(self._gone(spec.index))

    def _gone(self, index: int) -> Callable[[Future[ShardResult]], object]:
        return lambda _: self._crew.news.put((index, {"gone": True}))

    def attend(self) -> None:
        """Until all are done. Ctrl-C ends them, and a second one at once."""
        try:
            while self._parts:
                self._listen(EVERY_S)
                self._look(time.monotonic())
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        try:
            self._crew.interrupt(PATIENCE_S)
            self._await(PATIENCE_S + _GONE_S)
        finally:
            if self._parts:
                self._crew.kill(None, "it was not waited for any longer")
                self._await(_GONE_S)

    def _await(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while self._parts and time.monotonic() < until_s:
            self._listen(EVERY_S)

    def _listen(self, seconds: float) -> None:
        with contextlib.suppress(queue.Empty):
            self._hear(*self._crew.news.get(timeout=seconds))
            while True:
                self._hear(*self._crew.news.get_nowait())

    def _hear(self, index: int, words: Words) -> None:
        now_s = time.monotonic()
        part = self._parts.get(index)
        if part is None:
            return
        part.heard_s = now_s
        part.ready = part.ready or "ready" in words
        if "ended" in words:
            part.done, part.running = words["done"], words["running"]
            for lately, latencies in zip(self._lately, words["ended"], strict=False):
                for latency_s in latencies:
                    lately.add(now_s, math.nan if latency_s is None else latency_s)
        if "measured" in words:
            part.measured, part.running = True, 0
        if reason := words.get("stopped") or words.get("measured"):
            self._stop(reason)
        if "gone" in words:
            self._done += part.done
            del self._parts[index]
        if all(part.measured for part in self._parts.values()):  # else they put their fixtures away, and end
            for measuring in self._scenarios:
                measuring.stop_sampling()

    def _stop(self, reason: str) -> None:
        if not self._reason:
            self._reason = reason
            self._crew.stop(reason)

    def _look(self, now_s: float) -> None:
        for index, part in self._parts.items():
            if (why := self._overdue(part, now_s - part.heard_s)) is not None:
                self._crew.kill(index, why)
        if self._began_s is None:
            if self._parts and all(part.ready for part in self._parts.values()):
                self._begin(now_s)
            return
        first = self._scenarios[0]
        if first.rig.out_of_time:
            self._stop("--llm-max-time is spent")
        for measuring, lately in zip(self._scenarios, self._lately, strict=True):
            load = measuring.slo.load
            if load is not None and (reason := lately.reason(load.abort_on, now_s)) is not None:
                self._stop(f"abort_on: {reason}")
        if first.progress is not None:
            passed_s = now_s - self._began_s
            done = self._done + sum(part.done for part in self._parts.values())
            running = sum(part.running for part in self._parts.values())
            left_s = left(self._plan, done=done, passed_s=passed_s)
            first.progress.show_load(done, passed_s=passed_s, running=running, left_s=left_s)

    def _overdue(self, part: _Part, silent_s: float) -> str | None:
        """Why a part that has said nothing for so long hangs; None when it may be at work."""
        if not part.ready and silent_s > MEETING_S:
            return f"it was not ready after {silent_s:.0f} s"
        if part.measured and silent_s > MEETING_S:
            return f"its fixtures were not put away after {silent_s:.0f} s"
        if self._began_s is not None and not part.measured and silent_s > SILENT_S:
            return f"it said nothing for {silent_s:.0f} s"
        return None

    def _begin(self, now_s: float) -> None:
        for measuring in self._scenarios:
            measuring.watch.begin()
            measuring.sample()
        self._began_s = time.monotonic()
        for part in self._parts.values():
            part.heard_s = max(part.heard_s, now_s)
        self._crew.begin()
