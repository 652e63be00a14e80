"""A load run from pytest's side: the tests that take part, the body that pytest calls, and their verdicts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pytest

from pytest_llmperf.conducting.handing_over import hand_over, only_its_share
from pytest_llmperf.conducting.leading import in_processes, processes_for
from pytest_llmperf.conducting.taking_part import TakingPart
from pytest_llmperf.load.rhythm import Rhythm
from pytest_llmperf.load.sigterm import sigterm_as_ctrl_c
from pytest_llmperf.loading.member import Member
from pytest_llmperf.loading.run import LoadRun, plan_of
from pytest_llmperf.repetition import close_in_loop
from pytest_llmperf.shards.worker import SHARD


class Conductor(Protocol):
    """What stands for a test's body under a load profile."""

    def on_threads(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """Run *body*, a plain function, as the profile says; raises what fails the test."""
        ...

    async def in_loop(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """The same for a coroutine function, in the running event loop."""
        ...


#: Of an item under a load profile, while its body runs.
CONDUCTOR: pytest.StashKey[Conductor] = pytest.StashKey()


class Together:
    """Runs the tests that take part: one, or the members of a mix."""

    def __init__(
        self, parts: Sequence[TakingPart], *, leader: pytest.Function, rhythm: Rhythm, name: str
    ) -> None:
        """*leader* is the item whose body pytest calls; *name* is what the order is seeded with."""
        self._parts = parts
        self._leader = leader
        self._rhythm = rhythm
        self._name = name
        self.judged = False  #: whether every test has its verdict
        self.processes = processes_for(parts)

    def on_threads(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """See `Conductor`. A mix with a coroutine function in it runs in an event loop."""
        __tracebackhide__ = True
        others = (part.item.obj for part in self._parts if part.item is not self._leader)
        if any(map(inspect.iscoroutinefunction, others)):
            with asyncio.Runner() as runner:
                runner.run(self.in_loop(body, arguments))
            return
        with sigterm_as_ctrl_c(), self._handing_over():
            self._run(body, arguments).sync_body()
        self.judge()

    async def in_loop(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """See `Conductor`."""
        __tracebackhide__ = True
        try:
            with sigterm_as_ctrl_c(), self._handing_over():
                await self._run(body, arguments).async_body()
        finally:
            await close_in_loop([part.measuring for part in self._parts])
        self.judge()

    def in_processes(self) -> None:
        """Have other processes run it, each a part."""
        __tracebackhide__ = True
        assert self.processes is not None
        plan = plan_of(self._rhythm, seed=self._seed, options=self._parts[0].measuring.rig.options)
        with sigterm_as_ctrl_c():
            in_processes(self._parts, self.processes, plan=plan)
        self.judge()

    def _run(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> LoadRun:
        """The load run, about to begin."""
        members = []
        for part in self._parts:
            own = part.item is self._leader
            member = Member(
                part.measuring, body if own else part.item.obj, arguments if own else part.arguments
            )
            part.measuring.loaded = member
            members.append(member)
        spec, _ = self._leader.config.stash.get(SHARD, (None, None))
        if spec is not None:
            only_its_share(self._parts, spec)
        return LoadRun(self._rhythm, members, seed=self._seed, part=spec)

    @property
    def _seed(self) -> str:
        return f"{self._parts[0].measuring.rig.seed} {self._name}"

    @contextlib.contextmanager
    def _handing_over(self) -> Iterator[None]:
        """In a process that runs a part: whatever ends the block, who leads gets what was measured in it."""
        if SHARD not in self._leader.config.stash:
            yield
            return
        try:
            yield
        except BaseException as error:
            hand_over(self._parts, error)
            raise
        hand_over(self._parts)

    def end_early(self, error: BaseException) -> None:
        """Skip, xfail, Ctrl-C or exit in an iteration of one test ends all of them."""
        for part in self._parts:
            part.measuring.end_early(error)
            kind = (
                pytest.xfail.Exception if isinstance(error, pytest.xfail.Exception) else pytest.skip.Exception
            )
            part.failure = kind(f"the mix ended: {error}")
        self.judged = not isinstance(error, (KeyboardInterrupt, pytest.exit.Exception))

    def judge(self) -> None:
        """One look at each test, when the profile is over; a process that ran a part hands that over."""
        __tracebackhide__ = True
        if SHARD in self._leader.config.stash:
            self.judged = True
            return
        failure = None
        for part in self._parts:
            measuring = part.measuring
            measuring.verdict = measuring.judge(0, (measuring.count,) if measuring.count else ())
            part.failure = measuring.failure()
            failure = part.failure if part.item is self._leader else failure
        self.judged = True
        if failure is not None:
            raise failure


def let_go(item: pytest.Function) -> None:
    """The item's result is made: pytest keeps items to the end, and the samples need not stay with them."""
    if CONDUCTOR in item.stash:
        del item.stash[CONDUCTOR]


def conducted(item: pytest.Function, conductor: Conductor, *, claimed: bool) -> Callable[..., Any]:
    """What pytest calls instead of the item's body; a coroutine function where a plugin *claimed* it."""
    body: Callable[..., Any] = item.obj
    item.stash[CONDUCTOR] = conductor
    if isinstance(conductor, Together) and conductor.processes is not None:
        together = conductor

        @functools.wraps(inspect.unwrap(body))
        def leading(**_: Any) -> None:
            __tracebackhide__ = True
            together.in_processes()

        del leading.__wrapped__  # an async plugin would look through it
        return leading
    if inspect.iscoroutinefunction(inspect.unwrap(body)):
        if claimed or not inspect.iscoroutinefunction(body):
            return body  # an async plugin runs it

        @functools.wraps(body)
        def in_a_loop(**arguments: Any) -> None:
            __tracebackhide__ = True
            with asyncio.Runner() as runner:
                runner.run(body(**arguments))

        return in_a_loop

    @functools.wraps(body)
    def on_threads(**arguments: Any) -> None:
        __tracebackhide__ = True
        conductor.on_threads(body, arguments)

    return on_threads
