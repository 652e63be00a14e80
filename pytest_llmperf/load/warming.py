"""What runs before anything is measured, so that connections and the server's caches are there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pytest_llmperf.load.plan import Plan, Users

#: Connections that are warmed for an open loop, at most.
_MOST = 256


def warm_up(plan: Plan, warmup: int) -> Iterator[Plan]:
    """What to carry out before *plan*, each when the one before it is over.

    In a closed loop every user warms its own, *warmup* times. In an open loop as many iterations are run at
    once as will be under way, by how long one takes (Little's law).
    """
    if not warmup:
        return
    if isinstance(plan, Users):
        yield Users(starts_s=(0.0,) * len(plan.starts_s), each=warmup)
        return
    began_s = time.perf_counter()
    yield Users(starts_s=(0.0,), each=warmup)
    each_s = (time.perf_counter() - began_s) / warmup
    at_once = min(most_within(plan.due_s, each_s), plan.max_concurrency or _MOST, _MOST)
    yield Users(starts_s=(0.0,) * at_once, each=1)


def most_within(due_s: Sequence[float], window_s: float) -> int:
    """The most arrivals in any window of that length; at least one."""
    most, first = 1, 0
    for last, at_s in enumerate(due_s):
        while due_s[first] < at_s - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most
