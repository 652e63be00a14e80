"""What a load run is watched for while it goes on: the time, ``abort_on``, and who looks at the terminal."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from pytest_llmperf.load.control import Control
from pytest_llmperf.load.plan import Arrivals, Plan
from pytest_llmperf.loading.member import Member
from pytest_llmperf.shards.meeting import Line

#: Seconds between two looks.
EVERY_S = 0.25


class Watch(Protocol):
    """Looks at a run from time to time."""

    def look(self, control: Control) -> None:
        """One look."""
        ...


def on_a_thread(watch: Watch, control: Control) -> None:
    """Look until the run is stopped."""

    def look() -> None:
        while not control.stopped.wait(EVERY_S):
            watch.look(control)

    threading.Thread(target=look, daemon=True).start()


async def in_loop(watch: Watch, control: Control) -> None:
    """Look from the event loop until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        watch.look(control)


class Telling:
    """In a process that carries out a part: tells who leads, and judges nothing by itself."""

    def __init__(self, members: Sequence[Member], line: Line) -> None:
        self._members = members
        self._line = line

    def look(self, control: Control) -> None:
        """See `Watch`."""
        self._line.say(
            {
                "ended": [member.lately.drain() for member in self._members],
                "done": sum(member.count for member in self._members),
                "running": control.running,
                "stopped": control.reason,
            }
        )


class Judging:
    """Where one process carries out everything: stops the run for a reason, and shows how far it is."""

    def __init__(self, members: Sequence[Member], plan: Plan) -> None:
        self._members = members
        self._plan = plan

    def look(self, control: Control) -> None:
        """See `Watch`."""
        first = self._members[0].measuring
        now_s = time.perf_counter()
        if first.rig.out_of_time:
            control.stop("--llm-max-time is spent")
        for member in self._members:
            if (reason := member.lately.reason(member.load.abort_on, now_s)) is not None:
                control.stop(f"abort_on: {reason}")
        if first.progress is not None:
            done = sum(member.count for member in self._members)
            passed_s = now_s - control.began_s
            left_s = left(self._plan, done=done, passed_s=passed_s)
            first.progress.show_load(done, passed_s=passed_s, running=control.running, left_s=left_s)


def left(plan: Plan, *, done: int, passed_s: float) -> float | None:
    """About how many seconds *plan* still takes, of which *done* iterations are done; None: nobody knows."""
    if plan.until_s is not None:
        return max(0.0, plan.until_s - passed_s)
    if isinstance(plan, Arrivals):
        return max(0.0, plan.due_s[-1] - passed_s) if len(plan.due_s) else None
    each = None if plan.each is None else plan.each * len(plan.starts_s)
    planned = plan.shared or each
    return None if planned is None or not done else passed_s / done * (planned - done)
