"""A plan carried out on threads, for bodies that block."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from random import Random

from pytest_llmperf.load.control import Control
from pytest_llmperf.load.plan import Arrivals, Plan, Users
from pytest_llmperf.load.think_time import Think

#: Iterations at once, unless the profile says otherwise.
MOST_AT_ONCE = 256

#: Runs the body once, for an iteration that was due then (None: a user's, due when it begins).
Iterate = Callable[[float | None], None]


def run(plan: Plan, iterate: Iterate, control: Control, *, think: Think, grace_s: float, rng: Random) -> None:
    """Carry *plan* out. A thread cannot be ended from outside: one that does not end in time is left."""
    crew = _Crew(iterate, control, think, rng)
    control.begin()
    with crew.attended(grace_s):
        if isinstance(plan, Users):
            crew.users(plan)
        else:
            crew.arrivals(plan)


class _Crew:
    """The threads of one run."""

    def __init__(self, iterate: Iterate, control: Control, think: Think, rng: Random) -> None:
        self._iterate = iterate
        self._control = control
        self._think = think
        self._rng = rng
        self._threads: list[threading.Thread] = []
        self._due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)

    @contextlib.contextmanager
    def attended(self, grace_s: float) -> Iterator[None]:
        """Whatever ends the block, threads are waited for; a second Ctrl-C ends the waiting."""
        try:
            yield
        except BaseException:
            self._control.stop("")
            grace_s = min(grace_s, 2.0)
            raise
        finally:
            self._join(time.perf_counter() + grace_s)

    def users(self, plan: Users) -> None:
        """A thread for every user, until the time is up."""
        for start_s in plan.starts_s:
            self._start(self._user, start_s, plan.each)
        while any(thread.is_alive() for thread in self._threads):
            ends_s = self._control.ends_s
            left_s = 0.1 if ends_s is None else min(0.1, ends_s - time.perf_counter())
            if left_s <= 0 or self._control.stopped.wait(left_s):
                return

    def _user(self, start_s: float, each: int | None) -> None:
        if self._pause(self._control.began_s + start_s - time.perf_counter()):
            return
        done = 0
        while (each is None or done < each) and self._control.may_begin():
            self._once(None)
            done += 1
            if self._control.over or done == each or self._pause(self._think(self._rng)):
                return

    def arrivals(self, plan: Arrivals) -> None:
        """Hand every arrival to a thread that is idle, or to a new one."""
        most = plan.max_concurrency or MOST_AT_ONCE
        for after_s in plan.due_s:
            due_s = self._control.began_s + after_s
            if self._pause(due_s - time.perf_counter()):
                break
            if not self._idle.acquire(blocking=False):
                if len(self._threads) >= most:
                    self._control.dropped += 1
                    continue
                self._start(self._worker)
            self._due.put(due_s)
        for _ in self._threads:
            self._due.put(None)

    def _worker(self) -> None:
        while (due_s := self._due.get()) is not None:
            self._once(due_s)
            self._idle.release()

    def _pause(self, seconds: float) -> bool:
        """Wait, and say whether there is nothing left to begin, which ends the wait."""
        if seconds <= 0:
            return self._control.drained.is_set()
        return self._control.drained.wait(seconds)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(target, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _once(self, due_s: float | None) -> None:
        try:
            self._iterate(due_s)
        except BaseException as error:  # noqa: BLE001 - it ends the whole item, which the caller raises
            self._control.fail(error)

    def _join(self, until_s: float) -> None:
        self._control.stop("")
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.perf_counter()))
        self._control.interrupted += sum(thread.is_alive() for thread in self._threads)
        self._control.closed = True
