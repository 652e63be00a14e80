"""A load run from pytest's side: the tests that take part, the body that pytest calls, and their verdicts."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from pytest_llmperf.load.rhythm import Rhythm
from pytest_llmperf.loading.member import Member
from pytest_llmperf.loading.run import LoadRun
from pytest_llmperf.measuring import Measuring
from pytest_llmperf.splitting import SHARD, handing_over, in_processes, processes_for


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


@dataclass(kw_only=True)
class TakingPart:
    """A test in a load run."""

    item: pytest.Function
    measuring: Measuring
    arguments: Mapping[str, Any] = field(default_factory=dict)  #: of its body; pytest gives the leader's
    failure: BaseException | None = None  #: what fails the test, once it is judged


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
        self.processes = processes_for([(part.item, part.measuring) for part in parts])

    def on_threads(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """See `Conductor`. A mix with a coroutine function in it runs in an event loop."""
        __tracebackhide__ = True
        others = (part.item.obj for part in self._parts if part.item is not self._leader)
        if any(map(inspect.iscoroutinefunction, others)):
            with asyncio.Runner() as runner:
                runner.run(self.in_loop(body, arguments))
            return
        self._run(body, arguments).sync_body()
        self.judge()

    async def in_loop(self, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """See `Conductor`."""
        __tracebackhide__ = True
        try:
            await self._run(body, arguments).async_body()
        finally:
            for part in self._parts:
                part.measuring.close_clients()
            await asyncio.sleep(0)  # lets the transports close
        self.judge()

    def in_processes(self) -> None:
        """Have other processes run it, each a part."""
        __tracebackhide__ = True
        assert self.processes is not None
        in_processes([(part.item, part.measuring) for part in self._parts], self.processes)
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
        seed = f"{self._parts[0].measuring.rig.seed} {self._name}"
        return LoadRun(self._rhythm, members, seed=seed, part=spec)

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
            handing_over([(part.item, part.measuring) for part in self._parts])
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
