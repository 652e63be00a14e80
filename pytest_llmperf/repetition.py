"""The repetition of one scenario's body: warm-up, looks, and the verdict that ends it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from types import TracebackType
from typing import Any

from pytest_llmperf.ab.arms import Arm, in_turns
from pytest_llmperf.ab.lead import Lead
from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.core import gate
from pytest_llmperf.core.cache import CacheMode
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.ending import UNREACHABLE, cause_of, is_result, request_behind
from pytest_llmperf.measuring import GONE_AFTER, Measuring
from pytest_llmperf.options import GateMode
from pytest_llmperf.rounds import SWITCHED_OFF, rounds_of

WARMED = {CacheMode.WARM, CacheMode.BOTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One run of the body to come."""

    measured: bool
    arm: Arm
    arguments: Mapping[str, Any]


@dataclass(kw_only=True)
class Repetition:
    """The repetition of one item's body until there is a verdict."""

    measuring: Measuring
    lead: Lead | None = None  #: set where this process is the base arm of another one
    _warm: set[str] = field(default_factory=set)  #: cases whose prompts the server has seen
    _gone: int = 0  #: iterations in a row that an unreachable server ended

    def body(self, original: Callable[..., Any], *, claimed: bool) -> Callable[..., Any]:
        """A body that runs *original* as often as it takes and then passes, or fails.

        A coroutine function that an async plugin has *claimed* stays one; another one is run here.
        """
        if not inspect.iscoroutinefunction(original):
            return self._sync(original)
        repeating = self._async(original)
        if claimed:
            return repeating

        @functools.wraps(original)
        def run(**arguments: Any) -> None:
            __tracebackhide__ = True
            with asyncio.Runner() as runner:
                runner.run(repeating(**arguments))

        return run

    def _sync(self, original: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(original)
        def repeating(**arguments: Any) -> None:
            __tracebackhide__ = True
            try:
                for step in self._steps():
                    with _Running(self, step):
                        original(**{**arguments, **step.arguments})
            finally:
                # Where pytest-asyncio made the body synchronous, its loop runs once more.
                self.measuring.close_clients()
            self.measuring.conclude()

        return repeating

    def _async(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Coroutine[Any, Any, None]]:
        @functools.wraps(original)
        async def repeating(**arguments: Any) -> None:
            __tracebackhide__ = True
            try:
                for step in self._steps():
                    with _Running(self, step):
                        await original(**{**arguments, **step.arguments})
            finally:
                await close_in_loop([self.measuring])
            self.measuring.conclude()

        return repeating

    def _steps(self) -> Iterator[_Step]:
        if self.lead is not None:
            return self._led(self.lead)
        if self.measuring.benchmark is not None:
            return self._only_step()
        return self._own_steps()

    def _only_step(self) -> Iterator[_Step]:
        """The body once: the rounds of pytest-benchmark are what is judged."""
        measuring = self.measuring
        measuring.sample()
        yield self._step(measured=True)
        rounds = rounds_of(measuring.benchmark)
        if rounds or measuring.first_error is not None:
            measuring.verdict = measuring.judge(0, (len(rounds),))
        else:
            measuring.verdict = Verdict(outcome=Outcome.FAILED, reason=SWITCHED_OFF)

    def _led(self, lead: Lead) -> Iterator[_Step]:
        for measured in lead.orders():
            yield self._step(measured=measured)
        self.measuring.abandon("the base arm of another session")

    def _own_steps(self) -> Iterator[_Step]:
        measuring = self.measuring
        rng = Random(f"{measuring.rig.seed} {measuring.about.scenario} arms")  # noqa: S311 - an order, no secret
        for _ in range(measuring.slo.warmup):
            if not self._may_spend():
                break
            yield from self._pair(rng, measured=False)
        self._gone = 0
        measuring.watch.begin()
        measuring.sample()
        looks = self._looks()
        for look, size in enumerate(looks):
            while len(measuring.iterations) < size and not measuring.stopped and self._may_spend():
                yield from self._pair(rng, measured=True)
                self._watch(size)
            if measuring.rig.out_of_time and look < len(looks) - 1 and not measuring.stopped:
                measuring.stopped = "--llm-max-time is spent"
            measuring.verdict = measuring.judge(look, (*looks[:look], size) if measuring.stopped else looks)
            if measuring.verdict.settled:
                break
        measuring.watch.end()

    def _may_spend(self) -> bool:
        """Whether one more iteration, of both arms and with what warms it up, is within every budget."""
        bodies = (1 if self.measuring.base is None else 2) * (2 if self.measuring.slo.cache in WARMED else 1)
        if (refusal := self.measuring.refusal(bodies)) is not None:
            self.measuring.stopped = refusal
        return refusal is None

    def _pair(self, rng: Random, *, measured: bool) -> Iterator[_Step]:
        """One iteration: of both arms in random order and with the same case, where there are two."""
        step = self._step(measured=measured)
        if self.measuring.slo.cache in WARMED:
            yield from self._primed(step, rng)
        yield from self._both(step, rng)

    def _primed(self, step: _Step, rng: Random) -> Iterator[_Step]:
        """*step* unmeasured, unless its case was run before: its prompts are warm then."""
        case = repr(step.arguments)
        if case not in self._warm:
            self._warm.add(case)
            if step.measured:
                yield from self._both(replace(step, measured=False), rng)

    def _both(self, step: _Step, rng: Random) -> Iterator[_Step]:
        measured = step.measured
        base = self.measuring.base
        if base is None or base.missing is not None:
            yield step
            return
        for arm in in_turns(rng):
            if arm is Arm.CANDIDATE:
                yield step
            elif base.remote is None:
                yield replace(step, arm=arm)
            elif (iteration := base.remote(measured)) is None:
                return  # the other process is gone, which base.missing now says
            else:
                self.measuring.spend(iteration)
                if measured:
                    base.iterations.append(iteration)

    def _step(self, *, measured: bool) -> _Step:
        arguments = {} if self.measuring.cases is None else {"llm_case": next(self.measuring.cases)}
        return _Step(measured=measured, arm=Arm.CANDIDATE, arguments=arguments)

    def _looks(self) -> tuple[int, ...]:
        measuring = self.measuring
        if measuring.slo.scenario is not None or measuring.rig.options.gate is GateMode.PLAIN:
            return (measuring.slo.iterations,)  # pooled scenarios are judged once, at the end of the session
        return gate.looks(measuring.slo.iterations, measuring.slo.max_iterations)

    def _watch(self, size: int) -> None:
        measuring = self.measuring
        success = measuring.slo.limit("success_rate", "rate")
        # A limit below 1 expects failures: then it takes a whole first look of them.
        enough = (
            GONE_AFTER if success is None or success.bound == 1 else max(GONE_AFTER, measuring.slo.iterations)
        )
        if self._gone >= enough:
            measuring.stopped = f"{self._gone} iterations in a row found no server"
        if measuring.progress is not None:
            measuring.progress.update(len(measuring.iterations), size)

    def end(self, iteration: Iteration, error: BaseException | None, step: _Step) -> None:
        """Take in one run of the body, which *error* ended if it is not None."""
        measuring = self.measuring
        measuring.spend(iteration)
        if self.lead is not None:
            self.lead.report(iteration)
        if step.arm is Arm.BASE:
            if measuring.base is not None and step.measured:
                measuring.base.iterations.append(iteration)
            return
        cause = None if error is None else cause_of(error)
        failure = cause.failure if isinstance(cause, RequestFailed) else None
        if error is not None and measuring.own_client:
            behind = request_behind(error, iteration.exchanges)
            failure = failure if behind is None else behind.failure
        unreachable = failure is not None and failure.kind in UNREACHABLE
        self._gone = self._gone + 1 if unreachable else 0
        if not step.measured:
            measuring.watch.aside += len(iteration.exchanges)
            measuring.warmups += [one.latency_s for one in iteration.exchanges if one.failure is None]
            return
        measuring.iterations.append(iteration)
        own = iteration.passed is False or (error is not None and cause is None)  # its own, or a step's
        if own and measuring.first_error is None:
            measuring.first_error = error


async def close_in_loop(scenarios: Sequence[Measuring]) -> None:
    """Close what fixtures opened in the running event loop, which is about to end."""
    for measuring in scenarios:
        measuring.close_clients()
        for close in filter(inspect.iscoroutinefunction, measuring.closers):
            await close()
    await asyncio.sleep(0)  # lets the transports close


class _Running:
    """One run of the body: times it, and takes what it raises as the iteration's result."""

    def __init__(self, repetition: Repetition, step: _Step) -> None:
        self._repetition = repetition
        self._measuring = repetition.measuring
        self._step = step
        self._scope = self._measuring.log.iteration()
        self._own = self._measuring.log.loose
        self._started_s = 0.0

    def __enter__(self) -> None:
        self._measuring.log.loose.take()
        self._measuring.switch.turn(self._step.arm)
        self._own = self._scope.__enter__()
        self._started_s = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        done_s = time.perf_counter()
        measuring = self._measuring
        self._scope.__exit__(None, None, None)
        own = self._own.close()
        if error is not None and not is_result(error):
            return False
        loose = measuring.log.loose.take()  # no other iteration runs: what no context tells is this one's
        taken = own.and_also(loose)
        iteration = measuring.iteration(taken, error, started_s=self._started_s, done_s=done_s)
        self._repetition.end(iteration, error, self._step)
        return iteration.passed is None or not measuring.stop_at_once
