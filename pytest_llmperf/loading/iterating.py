"""Single iterations of a load run: whose body is run, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from random import Random

from pytest_llmperf.ending import is_result
from pytest_llmperf.load import threads
from pytest_llmperf.load.control import Control
from pytest_llmperf.load.deck import Deck
from pytest_llmperf.load.probe import Probe
from pytest_llmperf.loading.member import Member, Step


class Iterations:
    """Runs the bodies of *members*, each as often as its weight says, under *control*."""

    def __init__(self, members: Sequence[Member], *, order: Random, probe: Probe) -> None:
        self.control = Control()
        self._members = members
        self._order = order
        self._probe = probe
        self._deck = self._shuffled()
        self._measuring = False
        self._pool: Executor | None = None

    def _shuffled(self) -> Deck:
        return Deck([member.load.weight for member in self._members], self._order)

    def measure(self) -> None:
        """What runs from now on is measured."""
        self._measuring = True
        self._deck = self._shuffled()

    async def in_loop(self, due_s: float | None) -> None:
        """One iteration in the running event loop, as `load.tasks.Iterate`."""
        with self._one(due_s) as (member, step):
            if member.is_coroutine:
                await member.body(**step.arguments)
            else:
                call = functools.partial(contextvars.copy_context().run, member.body, **step.arguments)
                await asyncio.get_running_loop().run_in_executor(self._threads(), call)

    def here(self, due_s: float | None) -> None:
        """One iteration on this thread, as `load.threads.Iterate`."""
        with self._one(due_s) as (member, step):
            member.body(**step.arguments)

    def close(self) -> None:
        """No more of them begin."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _threads(self) -> Executor:
        """For the plain functions among coroutines: the event loop's own threads are a handful."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads.MOST_AT_ONCE)
        return self._pool

    @contextlib.contextmanager
    def _one(self, due_s: float | None) -> Iterator[tuple[Member, Step]]:
        """One iteration: what is raised inside is its result, unless it ends the item."""
        control, measured = self.control, self._measuring
        member = self._pick()
        step = member.next_step(measured=measured)
        measuring = member.measuring
        late_s = control.enter(due_s)
        started_s = time.perf_counter()
        error: BaseException | None = None
        try:
            with measuring.switch.during(step.arm), measuring.log.iteration(late_s=late_s) as own:
                try:
                    yield member, step
                except BaseException as raised:
                    if not is_result(raised) or measuring.stop_at_once:
                        own.close()
                        raise
                    error = raised
                done_s = time.perf_counter()
                taken = own.close()
        finally:
            control.leave()
        if not measured:
            return
        # In an open loop it takes from when it was due.
        iteration = measuring.iteration(taken, error, started_s=started_s - late_s, done_s=done_s)
        member.end(iteration, error, step, control=control, probe=self._probe)

    def _pick(self) -> Member:
        return self._members[0] if len(self._members) == 1 else self._members[self._deck.deal()]
