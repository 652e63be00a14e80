"""One iteration leaves nothing behind, however it ends."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from pytest_llmperf.ab.arms import Arm, Switch
from pytest_llmperf.iteration_log import IterationLog
from pytest_llmperf.load.probe import Probe
from pytest_llmperf.loading.iterating import Iterations
from pytest_llmperf.loading.member import Step


def test_a_settler_that_fails_leaves_neither_its_iteration_nor_its_arm_in_the_context():
    def fail(_own):
        raise RuntimeError("the relay is gone")

    log, switch = IterationLog(), Switch()
    log.settlers.append(fail)
    inside = []
    member = SimpleNamespace(
        measuring=SimpleNamespace(log=log, switch=switch, budgets=(), stop_at_once=False),
        load=SimpleNamespace(weight=1),
        body=lambda: inside.append((log.here() is not log.loose, switch.arm)),
        next_step=lambda *, measured: Step(arm=Arm.BASE, pair=0, arguments={}),  # noqa: ARG005
    )
    iterations = Iterations([member], order=Random(0), probe=Probe())
    with pytest.raises(RuntimeError, match="the relay is gone"):
        iterations.here(None)
    assert inside == [(True, Arm.BASE)]
    assert log.here() is log.loose
    assert (switch.arm, iterations.control.running) == (Arm.CANDIDATE, 0)
