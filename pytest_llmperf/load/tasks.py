"""A plan carried out in one event loop: every iteration is a task or a part of one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from random import Random

from pytest_llmperf.load.control import Control
from pytest_llmperf.load.plan import Arrivals, Plan, Users
from pytest_llmperf.load.think_time import Think
from pytest_llmperf.load.timer import Timer

#: Iterations at once, unless the profile says otherwise.
MOST_AT_ONCE = 4096

#: Runs the body once, for an iteration that was due then (None: a user's, due when it begins).
Iterate = Callable[[float | None], Awaitable[None]]


async def run(
    plan: Plan, iterate: Iterate, control: Control, *, think: Think, grace_s: float, rng: Random
) -> None:
    """Carry *plan* out. Whatever ends this, no task is left behind."""
    crew = _Crew(iterate, control, think, rng)
    stopped = asyncio.Event()
    control.on_stop(stopped.set)
    control.begin()
    try:
        main = asyncio.create_task(crew.users(plan) if isinstance(plan, Users) else crew.arrivals(plan))
        crew.idle.add(main)
        end = asyncio.create_task(stopped.wait())
        crew.idle.add(end)
        ends_s = control.ends_s if isinstance(plan, Users) else None
        left_s = None if ends_s is None else ends_s - time.perf_counter()
        await asyncio.wait({main, end}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if not main.done():
            crew.let_go()
        await crew.settle(grace_s)
    finally:
        await crew.end()


class _Crew:
    """The tasks of one run: those inside an iteration are *busy*, the others are *idle*."""

    def __init__(self, iterate: Iterate, control: Control, think: Think, rng: Random) -> None:
        self._iterate = iterate
        self._control = control
        self._think = think
        self._rng = rng
        self._ending = False
        self._drained = asyncio.Event()
        control.on_drained(self._drained.set)
        self.idle: set[asyncio.Task[object]] = set()
        self._busy: set[asyncio.Task[object]] = set()

    async def users(self, plan: Users) -> None:
        """Every user from its start to its end."""
        tasks = [asyncio.create_task(self._user(start_s, plan.each)) for start_s in plan.starts_s]
        self.idle.update(tasks)
        await asyncio.wait(tasks)

    async def _user(self, start_s: float, each: int | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        await self._pause(self._control.began_s + start_s - time.perf_counter())
        done = 0
        while (each is None or done < each) and self._control.may_begin():
            self._busy.add(task)
            try:
                await self._once(None)
            finally:
                self._busy.discard(task)
            done += 1
            if self._control.over or done == each:
                return
            if (pause_s := self._think(self._rng)) > 0:
                await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, but no longer than until nothing is left to begin."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._drained.wait()

    async def arrivals(self, plan: Arrivals) -> None:
        """A task for every arrival."""
        most = plan.max_concurrency or MOST_AT_ONCE
        tasks: set[asyncio.Task[None]] = set()
        with Timer() as timer:
            for after_s in plan.due_s:
                due_s = self._control.began_s + after_s
                await timer.until(due_s)
                if len(tasks) >= most:
                    self._control.dropped += 1
                    continue
                task = asyncio.create_task(self._once(due_s))
                self._busy.add(task)
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(self._busy.discard)

    async def _once(self, due_s: float | None) -> None:
        try:
            await self._iterate(due_s)
        except asyncio.CancelledError as error:
            if not self._ending:  # the body's own doing
                self._control.fail(error)
                return
            self._control.interrupted += 1
            raise
        except BaseException as error:  # noqa: BLE001 - it ends the whole item, which the caller raises
            self._control.fail(error)

    def let_go(self) -> None:
        """Nothing more begins: those that wait for their turn are done."""
        for task in self.idle - self._busy:
            task.cancel()

    async def settle(self, grace_s: float) -> None:
        """Wait for the iterations under way, but no longer than *grace_s*."""
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=grace_s)

    async def end(self) -> None:
        """No task outlives the run."""
        self._ending = True
        left = {task for task in self.idle | self._busy if not task.done()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.gather(*left, return_exceptions=True)
