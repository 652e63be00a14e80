"""Single iterations of a load run: whose body is run, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from random import Random
from types import TracebackType

from pytest_llmperf.ending import is_result
from pytest_llmperf.load import threads
from pytest_llmperf.load.control import Control
from pytest_llmperf.load.deck import Deck
from pytest_llmperf.load.probe import Probe
from pytest_llmperf.loading.member import Member


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
        one = self._begin(due_s)
        if one is None:
            return
        with one:
            member, arguments = one.member, one.step.arguments
            if member.is_coroutine:
                await member.body(**arguments)
            else:
                inside = contextvars.copy_context().run
                call = functools.partial(inside, _through_a_future, member.body, arguments)
                await asyncio.get_running_loop().run_in_executor(self._threads(), call)

    def here(self, due_s: float | None) -> None:
        """One iteration on this thread, as `load.threads.Iterate`."""
        one = self._begin(due_s)
        if one is not None:
            with one:
                one.member.body(**one.step.arguments)

    def close(self) -> None:
        """No more of them begin."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _threads(self) -> Executor:
        """For the plain functions among coroutines: the event loop's own threads are a handful."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads.MOST_AT_ONCE)
        return self._pool

    def _begin(self, due_s: float | None) -> _Running | None:
        """The next iteration; None where it must not begin, since it may cost more than there is."""
        control, measured = self.control, self._measuring
        member = self._pick()
        late_s = control.enter(due_s)
        try:
            if self._may_spend(member, control):
                return _Running(member, control, late_s=late_s, probe=self._probe if measured else None)
        except BaseException:
            control.leave()
            raise
        control.leave()
        return None

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


def _through_a_future(body: Callable[..., object], arguments: Mapping[str, object]) -> None:
    """Run *body*; a StopIteration of it goes through no future, and who waits for it would do so for ever."""
    try:
        body(**arguments)
    except StopIteration as error:
        raise RuntimeError("the test raised StopIteration") from error  # as coroutines do


class _Running:
    """One iteration: what is raised inside the block is its result, unless it ends the item.

    A class and not a generator: this is a part of what every request costs.
    """

    __slots__ = ("_arm", "_control", "_late_s", "_own", "_probe", "_started_s", "member", "step")

    def __init__(self, member: Member, control: Control, *, late_s: float, probe: Probe | None) -> None:
        """*probe*: what tells which chunks were read late; None: it warms up, and is no sample."""
        self.member = member
        self._control = control
        self._late_s = late_s
        self._probe = probe
        self.step = member.next_step(measured=probe is not None)

    def __enter__(self) -> None:
        measuring = self.member.measuring
        self._arm = measuring.switch.enter(self.step.arm)
        self._own = measuring.log.iteration(late_s=self._late_s)
        self._own.__enter__()
        self._started_s = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            return self._end(error)
        finally:
            self._control.leave()  # after its cost is counted

    def _end(self, error: BaseException | None) -> bool:
        """Take in what it did; whether that is all there is to say of *error*."""
        done_s = time.perf_counter()
        measuring = self.member.measuring
        try:
            taken = self._own.close()
        finally:
            self._own.__exit__()
            measuring.switch.leave(self._arm)
        if error is not None and (measuring.stop_at_once or not is_result(error)):
            return False
        # In an open loop it takes from when it was due.
        started_s = self._started_s - self._late_s
        iteration = measuring.iteration(taken, error, started_s=started_s, done_s=done_s)
        if self._probe is None:
            measuring.spend(iteration)
        else:
            self.member.end(iteration, error, self.step, control=self._control, probe=self._probe)
        return True
