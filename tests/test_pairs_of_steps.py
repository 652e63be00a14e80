"""Interleaved arms are paired iteration by iteration, also where their samples are timed steps."""

from __future__ import annotations

import pytest

from pytest_llmperf.ab.arms import paired
from pytest_llmperf.core.iteration import Iteration, TimedStep


def iteration(*names, error=None):
    steps = tuple(TimedStep(name=name, due_s=0.0, started_s=0.0, done_s=1.0, error=error) for name in names)
    return Iteration(started_s=0.0, done_s=1.0, steps=steps)


def test_iterations_with_the_same_steps_are_a_pair():
    one, other = iteration("a", "b"), iteration("a", "b")
    assert paired([one], [other]) == ([one], [other])


@pytest.mark.parametrize(
    "other", [iteration("a"), iteration("b", "a"), iteration("a", "b", error="boom"), iteration()]
)
def test_iterations_with_other_steps_or_failed_ones_are_none(other):
    assert paired([iteration("a", "b")], [other]) == ([], [])
    assert paired([other], [iteration("a", "b")]) == ([], [])
