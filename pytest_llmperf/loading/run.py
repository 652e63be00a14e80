"""One load profile, carried out: from the warm-up to the report of how it went."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from random import Random

from pytest_llmperf.core.health import Health
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.tally import Tally
from pytest_llmperf.core.timeline import with_server
from pytest_llmperf.load import tasks, threads
from pytest_llmperf.load.control import Control
from pytest_llmperf.load.plan import Arrivals, Plan, Users
from pytest_llmperf.load.probe import Probe
from pytest_llmperf.load.rhythm import Rhythm
from pytest_llmperf.load.think_time import Think
from pytest_llmperf.load.warming import warm_up
from pytest_llmperf.loading import watching
from pytest_llmperf.loading.iterating import Iterations
from pytest_llmperf.loading.member import Member
from pytest_llmperf.options import Options
from pytest_llmperf.shards.meeting import Line
from pytest_llmperf.shards.shard import Spec, meet
from pytest_llmperf.undisturbed import undisturbed

#: Seconds after which no iteration of the warm-up begins, unless the load itself takes longer.
_WARM_UP_S = 60.0


class LoadRun:
    """One load profile, carried out for one scenario or a mix of them."""

    def __init__(
        self, rhythm: Rhythm, members: Sequence[Member], *, seed: str, part: Spec | None = None
    ) -> None:
        """*part*: which share of the profile this process carries out; None: all of it."""
        self._part = part
        self._rhythm = rhythm
        self._members = members
        index = 0 if part is None else part.index  # users of all parts think on their own
        self._thinking = Random(f"{seed} think {index}")  # noqa: S311 - a schedule, no secret
        order = Random(f"{seed} order {index}")  # noqa: S311 - as above
        self._probe = Probe()
        self._iterations = Iterations(members, order=order, probe=self._probe)
        plan = plan_of(rhythm, seed=seed, options=members[0].measuring.rig.options)
        self._plan = plan if part is None else plan.shard(part.index, part.of)
        self._watch: watching.Watch = watching.Judging(members, self._plan)
        self._line: Line | None = None
        self._off: str | None = None  #: why another part, or who leads, has called it off
        self._cpu_s = self._wall_s = 0.0

    def sync_body(self) -> None:
        """Carry it out on threads."""
        for plan, control in self._warm_up():
            self._on_threads(plan, control, think=_at_once)
        if self._part is not None:
            self._take(meet(self._part, self._called_off))
        with self._measured() as control:
            looks = threading.Thread(target=self._probe.watch_threads, args=(control.stopped,), daemon=True)
            looks.start()
            watching.on_a_thread(self._watch, control)
            self._on_threads(self._plan, control, think=self._rhythm.think)

    def _on_threads(self, plan: Plan, control: Control, *, think: Think) -> None:
        self._iterations.control = control
        grace_s, rng = self._rhythm.load.graceful_stop, self._thinking
        threads.run(plan, self._iterations.here, control, think=think, grace_s=grace_s, rng=rng)
        if control.error is not None:
            raise control.error

    async def async_body(self) -> None:
        """Carry it out in the running event loop."""
        for plan, control in self._warm_up():
            await self._in_loop(plan, control, think=_at_once)
        if self._part is not None:
            loop = asyncio.get_running_loop()
            call = lambda reason: loop.call_soon_threadsafe(self._called_off, reason)  # noqa: E731 - one line
            self._take(await asyncio.to_thread(meet, self._part, call))
        with self._measured() as control:
            watchers = [
                asyncio.create_task(self._probe.watch_loop()),
                asyncio.create_task(watching.in_loop(self._watch, control)),
            ]
            try:
                await self._in_loop(self._plan, control, think=self._rhythm.think)
            finally:
                for watcher in watchers:
                    watcher.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)
                self._iterations.close()

    async def _in_loop(self, plan: Plan, control: Control, *, think: Think) -> None:
        self._iterations.control = control
        grace_s = self._rhythm.load.graceful_stop
        await tasks.run(
            plan, self._iterations.in_loop, control, think=think, grace_s=grace_s, rng=self._thinking
        )
        if control.error is not None:
            raise control.error

    def _take(self, line: Line) -> None:
        self._line = line
        self._watch = watching.Telling(self._members, line)

    def _called_off(self, reason: str) -> None:
        self._off = reason
        self._iterations.control.stop(reason)

    def _warm_up(self) -> Iterator[tuple[Plan, Control]]:
        """What to carry out before the load, each with an end: a body may hang."""
        # who leads several parts waits for them no longer than `shards.meeting` says
        length_s = self._rhythm.load.length_s(0.0) if self._part is None else 0.0
        ends_s = time.perf_counter() + max(_WARM_UP_S, length_s)
        for plan in warm_up(self._plan, max(member.measuring.slo.warmup for member in self._members)):
            left_s = ends_s - time.perf_counter()
            if left_s > 0:
                control = Control(until_s=left_s)
                yield plan, control
                if control.interrupted:
                    told = f"the warm-up was cut short: {control.interrupted} iterations of it did not end"
                    for member in self._members:
                        member.measuring.remarks.append(told)

    @contextlib.contextmanager
    def _measured(self) -> Iterator[Control]:
        """What runs in the block is measured."""
        with undisturbed():  # at once: how long that takes is in nobody's second
            for member in self._members:
                member.measuring.log.loose.take()
                member.measuring.watch.begin()
                member.measuring.sample()
            self._iterations.measure()
            control = self._iterations.control = _control(self._plan)
            if self._off is not None:  # since all parts were told to go
                control.stop(self._off)
            cpu_s, began_s = time.process_time(), time.perf_counter()
            try:
                yield control
            finally:
                self._cpu_s, self._wall_s = time.process_time() - cpu_s, time.perf_counter() - began_s
                self._over(control)

    def _over(self, control: Control) -> None:
        """Nothing more is measured."""
        control.stop("")
        if self._line is not None:
            ended = "" if control.error is None else f"{type(control.error).__name__} in another process"
            self._line.say({"measured": control.reason or ended})
        for member in self._members:
            member.measuring.stop_sampling()
        seen = [member.requests + member.begun - member.ended for member in self._members]
        for member, own in zip(self._members, seen, strict=True):
            member.measuring.watch.end()
            member.measuring.watch.aside += sum(seen) - own
            member.measuring.stopped = control.reason
            in_columns = self._part is not None
            member.finish(self._report, began_s=control.began_s, in_columns=in_columns)

    def _report(self, member: Member, tally: Tally) -> LoadReport:
        """How it went, for *member* with its samples."""
        control, probe, sampler = self._iterations.control, self._probe, member.measuring.sampler
        readings = () if sampler is None else sampler.readings
        return LoadReport(
            profile=self._rhythm.fact,
            mixed=len(self._members) > 1,
            planned=len(self._plan.due_s) if isinstance(self._plan, Arrivals) else None,
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
            timeline=with_server(tally.timeline(control.began_s), readings, began_s=control.began_s),
        )


def plan_of(rhythm: Rhythm, *, seed: str, options: Options) -> Plan:
    """All of the load, for as many iterations as the command line says, if it says so."""
    plan = rhythm.profile.plan(Random(f"{seed} load"))  # noqa: S311 - a schedule, no secret
    if options.quick:
        return plan.limited(3)
    asked = options.overrides.get("iterations")
    return plan if asked is None else plan.limited(asked)


def _control(plan: Plan) -> Control:
    if isinstance(plan, Users):
        return Control(until_s=plan.until_s, shared=plan.shared)
    return Control()


def _at_once(_: Random) -> float:
    """Nobody thinks while they warm up: it would be waiting for nothing."""
    return 0.0


def _p95(values: array[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0
