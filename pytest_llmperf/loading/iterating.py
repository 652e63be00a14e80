"""Single iterations of a load run: whose body is run, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import threading
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
        self._spending = threading.Lock()
        self._refusal: str | None = None  #: why no more money may be spent

    def _shuffled(self) -> Deck:
        return Deck([member.load.weight for member in self._members], self._order)

    def measure(self) -> None:
        """What runs from now on is measured."""
        self._measuring = True
        self._deck = self._shuffled()

    async def in_loop(self, due_s: float | None) -> None:
        """One iteration in the running event loop, as `load.tasks.Iterate`."""
        with self._one(due_s) as begun:
            if begun is None:
                return
            member, step = begun
            if member.is_coroutine:
                await member.body(**step.arguments)
            else:
                call = functools.partial(contextvars.copy_context().run, member.body, **step.arguments)
                await asyncio.get_running_loop().run_in_executor(self._threads(), call)

    def here(self, due_s: float | None) -> None:
        """One iteration on this thread, as `load.threads.Iterate`."""
        with self._one(due_s) as begun:
            if begun is not None:
                member, step = begun
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
    def _one(self, due_s: float | None) -> Iterator[tuple[Member, Step] | None]:
        """One iteration: what is raised inside is its result, unless it ends the item.

        None where it must not begin, since it may cost more than there is.
        """
        control, measured = self.control, self._measuring
        member = self._pick()
        late_s = control.enter(due_s)
        try:
            if not self._may_spend(member, control):
                yield None
                return
            step = member.next_step(measured=measured)
            yield from self._run(member, step, late_s=late_s, of=control if measured else None)
        finally:
            control.leave()  # after its cost is counted

    def _run(
        self, member: Member, step: Step, *, late_s: float, of: Control | None
    ) -> Iterator[tuple[Member, Step]]:
        """*of*: the run that it is a sample of; None: it warms up."""
        measuring = member.measuring
        started_s = time.perf_counter()
        error: BaseException | None = None
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
        # In an open loop it takes from when it was due.
        iteration = measuring.iteration(taken, error, started_s=started_s - late_s, done_s=done_s)
        if of is None:
            measuring.spend(iteration)
        else:
            member.end(iteration, error, step, control=of, probe=self._probe)

    def _may_spend(self, member: Member, control: Control) -> bool:
        """Whether an iteration that has entered may begin: those under way may be as dear as the dearest."""
        if not member.measuring.budgets:
            return True
        with self._spending:
            self._refusal = self._refusal or member.measuring.refusal(control.running)
            if self._refusal is None:
                return True
            for one in self._members:
                one.measuring.over_budget = True
        control.stop(self._refusal)
        return False

    def _pick(self) -> Member:
        return self._members[0] if len(self._members) == 1 else self._members[self._deck.deal()]
