"""One iteration leaves nothing behind, however it ends."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace

import pytest

from pytest_llmperf.ab.arms import Arm, Switch
from pytest_llmperf.iteration_log import IterationLog
from pytest_llmperf.load.probe import Probe
from pytest_llmperf.loading.iterating import Iterations
from pytest_llmperf.loading.member import Step


def iterations_of(body, log, switch):
    member = SimpleNamespace(
        measuring=SimpleNamespace(log=log, switch=switch, budgets=(), stop_at_once=True),
        load=SimpleNamespace(weight=1),
        body=body,
        is_coroutine=False,
        next_step=lambda *, measured: Step(arm=Arm.BASE, pair=0, arguments={}),  # noqa: ARG005
    )
    return Iterations([member], order=Random(0), probe=Probe())


def test_a_settler_that_fails_leaves_neither_its_iteration_nor_its_arm_in_the_context():
    def fail(_own):
        raise RuntimeError("the relay is gone")

    log, switch = IterationLog(), Switch()
    log.settlers.append(fail)
    inside = []
    iterations = iterations_of(lambda: inside.append((log.here() is not log.loose, switch.arm)), log, switch)
    with pytest.raises(RuntimeError, match="the relay is gone"):
        iterations.here(None)
    assert inside == [(True, Arm.BASE)]
    assert log.here() is log.loose
    assert (switch.arm, iterations.control.running) == (Arm.CANDIDATE, 0)


def test_a_plain_body_beside_coroutines_that_raises_stop_iteration_does_not_hang():
    async def run():
        iterations = iterations_of(lambda: next(iter(())), IterationLog(), Switch())
        try:
            await asyncio.wait_for(iterations.in_loop(None), 5)
        finally:
            iterations.close()

    with pytest.raises(RuntimeError, match="the test raised StopIteration"):
        asyncio.run(run())
