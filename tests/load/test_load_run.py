"""What the parts of a load run have in common, and what is each one's own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_llmperf.core.load import build_load, parse_load
from pytest_llmperf.iteration_log import IterationLog
from pytest_llmperf.load.rhythm import Rhythm
from pytest_llmperf.loading.run import LoadRun
from pytest_llmperf.options import Options
from pytest_llmperf.shards.meeting import LoopbackMeeting
from pytest_llmperf.shards.shard import Spec

SPEC = Spec(node_ids=(), arguments=(), directory="", index=0, of=2, meeting=LoopbackMeeting(port=1, token=""))


def parts(**arguments):
    """The run as the first and the second of two processes see it."""
    asked = build_load(parse_load(arguments, where=""), where="")
    rhythm = Rhythm.of(asked, find=lambda _: None)
    measuring = SimpleNamespace(rig=SimpleNamespace(options=Options()), slo=SimpleNamespace(warmup=1))
    members = [SimpleNamespace(load=asked, measuring=measuring)]
    return [LoadRun(rhythm, members, seed="0", part=replace(SPEC, index=index)) for index in range(2)]


def test_users_of_all_parts_think_on_their_own():
    runs = parts(users=4, duration="1s", think_time="uniform(1s, 3s)")
    first, second = ({run._rhythm.think(run._thinking) for _ in range(5)} for run in runs)
    assert not first & second


def test_all_parts_have_one_schedule():
    first, second = (set(run._plan.due_s) for run in parts(rate=100, duration="1s", arrivals="poisson"))
    assert not first & second
    assert abs(len(first) - len(second)) <= 1


@pytest.mark.parametrize(("duration", "expected_s"), [("1s", 60), ("5m", 60)])
def test_a_part_warms_up_no_longer_than_its_leader_waits(duration, expected_s):
    first, _ = parts(users=2, duration=duration)
    _, control = next(first._warm_up())
    assert control._length_s == pytest.approx(expected_s, abs=1)


def test_the_garbage_is_collected_before_anything_is_sampled(monkeypatch):
    """That takes a second where there is much of it, in which a look would see a server without load."""
    done = []
    first, _ = parts(users=2, duration="1s")
    measuring = first._members[0].measuring
    measuring.log = IterationLog()
    measuring.watch = SimpleNamespace(begin=lambda: None)
    measuring.sample = lambda: done.append("sampled")
    monkeypatch.setattr("gc.collect", lambda: done.append("collected"))
    first._over = lambda _: None
    with first._measured():
        assert done == ["collected", "sampled"]


def test_a_part_that_is_called_off_before_its_first_moment_measures_nothing():
    first, _ = parts(users=2, duration="1s")
    measuring = first._members[0].measuring
    measuring.log = IterationLog()
    measuring.watch = SimpleNamespace(begin=lambda: first._called_off("no server"))
    measuring.sample = lambda: None
    with first._measured() as control:
        assert (control.may_begin(), control.reason) == (False, "no server")
        first._over = lambda _: None
