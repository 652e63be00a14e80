"""Scenarios under a load profile: many iterations of their bodies at once, judged when the profile ends."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import contextvars
import functools
import gc
import inspect
import itertools
import math
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from pytest_llmperf.ab import Arm, in_turns
from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.health import Health
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.tally import Tally
from pytest_llmperf.ending import UNREACHABLE, cause_of, ends_quietly, failed_by_json, is_result
from pytest_llmperf.load import tasks, threads
from pytest_llmperf.load.control import Control
from pytest_llmperf.load.deck import Deck
from pytest_llmperf.load.plan import Arrivals, Plan, Users
from pytest_llmperf.load.probe import Probe
from pytest_llmperf.load.rhythm import Rhythm
from pytest_llmperf.repetition import GONE_AFTER, Repetition
from pytest_llmperf.shard import Spec, meet

#: Seconds between two looks at the clock, at ``abort_on`` and at the terminal.
_TICK_S = 0.25
#: What ``abort_on`` looks at: requests that ended in so many seconds, if there are so many of them.
_WINDOW_S, _FEWEST = 10.0, 20
#: Connections that are warmed for an open loop, at most.
_WARM_MOST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One iteration to come."""

    arm: Arm
    pair: int  #: iterations of both arms with the same number are a pair, under ``--llm-ab``
    arguments: Mapping[str, Any]


class Member:
    """One scenario of a load run, and its samples; iterations may end on any thread."""

    def __init__(
        self, repetition: Repetition, body: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> None:
        self.repetition = repetition
        self.body = body
        self.is_coroutine = inspect.iscoroutinefunction(body)
        self._arguments = arguments
        self._lock = threading.Lock()
        self._steps = self._endless()
        self._tallies = {arm: self._tally() for arm in Arm}
        self._halves: dict[int, tuple[Arm, Iteration]] = {}  #: pairs of which one arm is still missing
        self._gone = 0
        self.recent: deque[Exchange] = deque(maxlen=1000)
        self.chunks = 0
        self.late_chunks = 0
        self.loose = 0
        self.begun = 0  #: measured iterations of both arms, those included that do not end
        self.ended = 0
        self.count = 0  #: of the candidate's
        self.requests = 0
        self.report: LoadReport | None = None
        #: What another process needs to put parts together, see `Tally.columns`.
        self.columns: tuple[dict[str, list[float]], tuple[list[float], list[float]]] | None = None
        self._cached: dict[Arm, Measurement] = {}

    def _tally(self) -> Tally:
        repetition = self.repetition
        return Tally(about=repetition.about, slo=repetition.slo, prices=repetition.rig.slo_file.prices)

    @property
    def is_paired(self) -> bool:
        """Whether there are two arms, that share the load."""
        return self.repetition.base is not None and self.repetition.base.missing is None

    def next_step(self, *, measured: bool) -> _Step:
        """What the next iteration is given."""
        with self._lock:
            self.begun += measured
            return next(self._steps)

    def _endless(self) -> Iterator[_Step]:
        repetition = self.repetition
        rng = Random(f"{repetition.rig.seed} {repetition.about.scenario} arms")  # noqa: S311 - an order
        for pair in itertools.count():
            case = {} if repetition.cases is None else {"llm_case": next(repetition.cases)}
            arguments = {**self._arguments, **case}
            for arm in in_turns(rng) if self.is_paired else (Arm.CANDIDATE,):
                yield _Step(arm=arm, pair=pair, arguments=arguments)

    def end(self, iteration: Iteration, error: BaseException | None, step: _Step, run: LoadRun) -> None:
        """Take in one measured iteration, which *error* ended if it is not None."""
        with self._lock:
            if run.control.closed:
                return  # its thread took longer than it was given, and was counted as interrupted
            self.ended += 1
            self.requests += len(iteration.exchanges)
            for exchange in iteration.exchanges:
                self.recent.append(exchange)
                self.chunks += len(exchange.chunk_s)
                self.late_chunks += _inside(exchange.chunk_s, run.probe.spans)
            self._keep(iteration, step)
            self.repetition.spend(iteration)
            if step.arm is Arm.CANDIDATE:
                self.count += 1
                own = iteration.passed is False or (error is not None and cause_of(error) is None)
                if own and self.repetition.first_error is None:
                    self.repetition.first_error = error
            cause = None if error is None else cause_of(error)
            gone = isinstance(cause, RequestFailed) and cause.failure.kind in UNREACHABLE
            self._gone = self._gone + 1 if gone else 0
        # Those that run already may be as dear as the dearest before, and so may the next one.
        if not run.control.stopped.is_set() and (why := self.repetition.refusal(run.control.running + 1)):
            run.control.stop(why)
        if self._gone >= GONE_AFTER + run.control.peak:
            run.control.stop(f"{self._gone} iterations in a row found no server")

    def _keep(self, iteration: Iteration, step: _Step) -> None:
        if not self.is_paired:
            self._tallies[step.arm].add(iteration)
            return
        other = self._halves.pop(step.pair, None)
        if other is None:
            self._halves[step.pair] = step.arm, iteration
            return
        both = {step.arm: iteration, other[0]: other[1]}
        whole = len({len(one.exchanges) for one in both.values()}) == 1 and all(
            exchange.failure is None for one in both.values() for exchange in one.exchanges
        )
        for arm, one in both.items():
            self._tallies[arm].add(one) if whole else self._tallies[arm].add_unpaired(one)

    def finish(self, run: LoadRun) -> None:
        """The profile is over: what no iteration can be told for counts for the scenario."""
        with self._lock:
            loose = self.repetition.log.loose.take()
            self.loose = len(loose.exchanges)
            self._tallies[Arm.CANDIDATE].add_loose(loose.exchanges, loose.checks, loose.steps)
            for arm, iteration in self._halves.values():
                self._tallies[arm].add_unpaired(iteration)
            self._halves.clear()
            tally = self._tallies[Arm.CANDIDATE]
            self.report = run.report(self, tally)
            if run.part is not None:
                self.columns = tally.columns(run.control.began_s)

    def measured(self, arm: Arm) -> Measurement:
        """What was measured of *arm* so far."""
        if arm in self._cached:
            return self._cached[arm]
        with self._lock:
            measured = replace(self._tallies[arm].measurement(), load=self.report)
        if self.loose:
            told = f"{self.loose} requests came from threads of the test's own: they count for no iteration"
            measured = replace(measured, warnings=(*measured.warnings, told))
        if self.report is not None:
            self._cached[arm] = measured
            self._tallies[arm] = self._tally()
        return measured


class LoadRun:
    """One load profile, carried out for one scenario or a mix of them."""

    def __init__(
        self, rhythm: Rhythm, members: Sequence[Member], *, seed: str, part: Spec | None = None
    ) -> None:
        """*part*: which share of the profile this process carries out; None: all of it."""
        self.part = part
        self._rhythm = rhythm
        self._members = members
        self._rng = Random(f"{seed} load")  # noqa: S311 - a schedule, no secret
        self._order = Random(f"{seed} order {part.index if part is not None else 0}")  # noqa: S311 - as above
        self._deck = self._shuffled()
        plan = self._limited(rhythm.profile.plan(self._rng))
        self.plan = plan if part is None else plan.shard(part.index, part.of)
        self.control = Control()
        self.probe = Probe()
        self._measuring = False
        self._cpu_s = self._wall_s = 0.0
        self._pool: Executor | None = None

    def _shuffled(self) -> Deck:
        return Deck([_load(member).weight for member in self._members], self._order)

    def _limited(self, plan: Plan) -> Plan:
        """*plan* for as many iterations as the command line says, if it says so."""
        options = self._members[0].repetition.rig.options
        if options.quick:
            return plan.limited(3)
        asked = options.overrides.get("iterations")
        return plan if asked is None else plan.limited(asked)

    def sync_body(self) -> None:
        """Carry it out on threads."""
        for plan in self._warming():
            self._on_threads(plan, self._control(plan))
        if self.part is not None:
            meet(self.part, self._called_off)
        with self._measured():
            watcher = threading.Thread(target=self.probe.watch_threads, args=(self.control.stopped,))
            ticker = threading.Thread(target=self._tick_until_stopped)
            for thread in (watcher, ticker):
                thread.daemon = True
                thread.start()
            self._on_threads(self.plan, self.control)

    def _on_threads(self, plan: Plan, control: Control) -> None:
        self.control = control
        think, grace_s = self._rhythm.think, self._rhythm.load.graceful_stop
        threads.run(plan, self._iterate_here, control, think=think, grace_s=grace_s, rng=self._rng)
        if control.error is not None:
            raise control.error

    async def async_body(self) -> None:
        """Carry it out in the running event loop."""
        for plan in self._warming():
            await self._in_loop(plan, self._control(plan))
        if self.part is not None:
            call = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, self._called_off)
            await asyncio.to_thread(meet, self.part, call)
        with self._measured():
            watchers = [
                asyncio.create_task(self.probe.watch_loop()),
                asyncio.create_task(self._tick_forever()),
            ]
            try:
                await self._in_loop(self.plan, self.control)
            finally:
                for watcher in watchers:
                    watcher.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)
                if self._pool is not None:
                    self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_loop(self, plan: Plan, control: Control) -> None:
        self.control = control
        think, grace_s = self._rhythm.think, self._rhythm.load.graceful_stop
        await tasks.run(plan, self._iterate, control, think=think, grace_s=grace_s, rng=self._rng)
        if control.error is not None:
            raise control.error

    def _called_off(self) -> None:
        self.control.stop("the leading session ended")

    @staticmethod
    def _control(plan: Plan) -> Control:
        if isinstance(plan, Users):
            return Control(until_s=plan.until_s, shared=plan.shared)
        return Control()

    def _warming(self) -> Iterator[Plan]:
        """What runs before anything is measured, so that connections and the server's caches are there.

        In a closed loop every user warms its own. In an open loop as many iterations are run at once as
        will be under way, by how long one takes (Little's law).
        """
        warmup = max(member.repetition.slo.warmup for member in self._members)
        if not warmup:
            return
        if isinstance(self.plan, Users):
            yield Users(starts_s=(0.0,) * len(self.plan.starts_s), each=warmup)
            return
        began_s = time.perf_counter()
        yield Users(starts_s=(0.0,), each=warmup)
        each_s = (time.perf_counter() - began_s) / warmup
        at_once = min(
            most_within(self.plan.due_s, each_s), self.plan.max_concurrency or _WARM_MOST, _WARM_MOST
        )
        yield Users(starts_s=(0.0,) * at_once, each=1)

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        """What runs in the block is measured."""
        for member in self._members:
            member.repetition.log.loose.take()
            member.repetition.watch.begin()
            member.repetition.sample()
        self._measuring = True
        self._deck = self._shuffled()
        self.control = self._control(self.plan)
        gc.collect()
        gc.freeze()  # a full collection walks all that pytest and the test have made, which takes long
        cpu_s, began_s = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self._cpu_s, self._wall_s = time.process_time() - cpu_s, time.perf_counter() - began_s
            gc.unfreeze()
            self.control.stop("")
            requests = sum(member.requests for member in self._members)
            for member in self._members:
                member.repetition.watch.end()
                member.repetition.watch.aside += requests - member.requests
                member.repetition.stopped = self.control.reason
                member.finish(self)

    async def _iterate(self, due_s: float | None) -> None:
        with self._iteration(due_s) as (member, step):
            if member.is_coroutine:
                await member.body(**step.arguments)
            else:
                call = functools.partial(contextvars.copy_context().run, member.body, **step.arguments)
                await asyncio.get_running_loop().run_in_executor(self._threads(), call)

    def _threads(self) -> Executor:
        """For the plain functions among coroutines: the event loop's own threads are a handful."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads.MOST_AT_ONCE)
        return self._pool

    def _iterate_here(self, due_s: float | None) -> None:
        with self._iteration(due_s) as (member, step):
            member.body(**step.arguments)

    @contextlib.contextmanager
    def _iteration(self, due_s: float | None) -> Iterator[tuple[Member, _Step]]:
        """One iteration: what is raised inside is its result, unless it ends the item."""
        control, measuring = self.control, self._measuring
        member = self._pick()
        step = member.next_step(measured=measuring)
        repetition = member.repetition
        late_s = control.enter(due_s)
        started_s = time.perf_counter()
        error: BaseException | None = None
        try:
            with repetition.switch.during(step.arm), repetition.log.iteration(late_s=late_s) as own:
                try:
                    yield member, step
                except BaseException as raised:
                    if not is_result(raised) or repetition.stop_at_once:
                        own.close()
                        raise
                    error = raised
                done_s = time.perf_counter()
                taken = own.close()
        finally:
            control.leave()
        if not measuring:
            return
        expected_json = repetition.slo.expected_json
        quietly = error is not None and ends_quietly(
            error, taken, expected_json=expected_json, own_client=repetition.own_client
        )
        iteration = Iteration(
            started_s=started_s - late_s,  # in an open loop a task takes from when it was due
            done_s=done_s,
            exchanges=taken.exchanges,
            checks=taken.checks,
            steps=taken.steps,
            passed=None if quietly else error is None,
            json_failed=error is not None
            and not quietly
            and failed_by_json(error, taken, own_client=repetition.own_client),
        )
        member.end(iteration, error, step, self)

    def _pick(self) -> Member:
        return self._members[0] if len(self._members) == 1 else self._members[self._deck.deal()]

    def _tick_until_stopped(self) -> None:
        while not self.control.stopped.wait(_TICK_S):
            self._tick()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._tick()

    def _tick(self) -> None:
        first = self._members[0].repetition
        if first.rig.out_of_time:
            self.control.stop("--llm-max-time is spent")
        for member in self._members:
            if (reason := _abort_reason(member, time.perf_counter())) is not None:
                self.control.stop(f"abort_on: {reason}")
        if first.progress is not None:
            done = sum(member.count for member in self._members)
            passed_s = time.perf_counter() - self.control.began_s
            first.progress.show_load(
                done, passed_s=passed_s, running=self.control.running, left_s=self._left_s(passed_s, done)
            )

    def _left_s(self, passed_s: float, done: int) -> float | None:
        if self.plan.until_s is not None:
            return max(0.0, self.plan.until_s - passed_s)
        if isinstance(self.plan, Arrivals):
            return max(0.0, self.plan.due_s[-1] - passed_s) if len(self.plan.due_s) else None
        each = None if self.plan.each is None else self.plan.each * len(self.plan.starts_s)
        planned = self.plan.shared or each
        return None if planned is None or not done else passed_s / done * (planned - done)

    def report(self, member: Member, tally: Tally) -> LoadReport:
        """How it went, for *member* with its samples."""
        control, probe = self.control, self.probe
        return LoadReport(
            profile=self._rhythm.fact,
            mixed=len(self._members) > 1,
            planned=len(self.plan.due_s) if isinstance(self.plan, Arrivals) else None,
            started=member.begun,
            dropped=control.dropped,
            interrupted=member.begun - member.ended,
            peak=control.peak,
            loose=member.loose,
            aborted=control.reason.startswith("abort_on"),
            health=Health(
                lag_p95_s=_p95(probe.lag_s),
                lag_max_s=max(probe.lag_s, default=0.0),
                schedule_lag_p95_s=_p95(control.late_s),
                schedule_lag_max_s=max(control.late_s, default=0.0),
                cpu_share=self._cpu_s / self._wall_s if self._wall_s else 0.0,
                late_chunks=member.late_chunks,
                chunks=member.chunks,
            ),
            timeline=tally.timeline(control.began_s),
        )


def most_within(due_s: Sequence[float], window_s: float) -> int:
    """The most arrivals in any window of that length; at least one."""
    most, first = 1, 0
    for last, at_s in enumerate(due_s):
        while due_s[first] < at_s - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def _inside(at_s: Sequence[float], spans: Sequence[tuple[float, float]]) -> int:
    """How many of *at_s* lie in one of *spans*, which ascend."""
    if not spans or not at_s or at_s[-1] < spans[0][0]:
        return 0
    count = 0
    for moment in at_s:
        index = bisect.bisect_right(spans, (moment, math.inf)) - 1
        count += index >= 0 and moment <= spans[index][1]
    return count


def _p95(values: array[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0


def _abort_reason(member: Member, now_s: float) -> str | None:
    """Why the run should end, by what ended lately."""
    limits = _load(member).abort_on
    if limits.error_rate is None and limits.p95_s is None:
        return None
    recent = [exchange for exchange in member.recent.copy() if exchange.done_s > now_s - _WINDOW_S]
    if len(recent) < _FEWEST:
        return None
    failed = sum(exchange.failure is not None for exchange in recent) / len(recent)
    if limits.error_rate is not None and failed > limits.error_rate:
        return f"{100 * failed:.0f} % of the last {len(recent)} requests failed"
    p95_s = _p95(array("d", (exchange.latency_s for exchange in recent if exchange.failure is None)))
    if limits.p95_s is not None and p95_s > limits.p95_s:
        return f"p95 of the last {len(recent)} requests is {1e3 * p95_s:.0f} ms"
    return None


def _load(member: Member) -> Any:
    load = member.repetition.slo.load
    assert load is not None
    return load
