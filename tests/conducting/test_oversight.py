"""What leads the parts of a load, by what they say."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from pytest_llmperf.conducting import oversight
from pytest_llmperf.conducting.oversight import Oversight
from pytest_llmperf.core.load import AbortOn
from pytest_llmperf.load.plan import Users
from pytest_llmperf.shards.meeting import LoopbackMeeting
from pytest_llmperf.shards.shard import ShardResult, Spec

PLAN = Users(starts_s=(0.0, 0.0))


class Crew:
    """Notes what it is told; a part that is killed is gone."""

    def __init__(self, count):
        self.news = queue.SimpleQueue()
        self.told = []
        self.futures = {
            Future(): Spec(node_ids=(), arguments=(), directory="", index=index, of=count, meeting=MEETING)
            for index in range(count)
        }

    def says(self, index, **words):
        self.news.put((index, words))

    def ends(self, *indices):
        for future, spec in self.futures.items():
            if spec.index in indices and not future.done():
                future.set_result(ShardResult(index=spec.index, text=""))

    def begin(self):
        self.told.append("begin")

    def stop(self, reason):
        self.told.append(f"stop: {reason}")
        self.ends(*range(len(self.futures)))

    def interrupt(self, _):
        self.told.append("interrupt")

    def kill(self, index, why):
        self.told.append(f"kill {index}: {why}")
        self.ends(*(range(len(self.futures)) if index is None else [index]))


MEETING = LoopbackMeeting(port=1, token="")


@pytest.fixture
def scenario():
    """A scenario that notes when it is looked at."""
    said = []
    return SimpleNamespace(
        said=said,
        rig=SimpleNamespace(out_of_time=False),
        slo=SimpleNamespace(load=SimpleNamespace(abort_on=AbortOn())),
        watch=SimpleNamespace(begin=lambda: said.append("watch")),
        sample=lambda: said.append("sample"),
        stop_sampling=lambda: None,
        progress=None,
    )


@pytest.fixture
def crew(monkeypatch):
    monkeypatch.setattr(oversight, "EVERY_S", 0.01)
    return Crew(2)


@pytest.fixture
def attend(crew, scenario):
    return Oversight(crew, crew.futures, [scenario], plan=PLAN).attend


def later(seconds, call, *arguments):
    timer = threading.Timer(seconds, call, arguments)
    timer.daemon = True
    timer.start()


def ready(crew, *indices):
    for index in indices:
        crew.says(index, ready=True)


def ended(*latencies, stopped=""):
    return {"ended": [list(latencies)], "done": len(latencies), "running": 1, "stopped": stopped}


def test_all_begin_when_the_last_is_ready(crew, attend):
    ready(crew, 0)
    later(0.1, ready, crew, 1)
    later(0.2, crew.ends, 0, 1)
    attend()
    assert crew.told == ["begin"]


def test_who_is_gone_before_the_start_is_not_waited_for(crew, attend):
    ready(crew, 0)
    crew.ends(1)
    later(0.1, crew.ends, 0)
    attend()
    assert crew.told == ["begin"]


def test_server_and_machine_are_looked_at_from_the_start_and_not_during_the_warm_up(crew, attend, scenario):
    ready(crew, 0)
    later(0.1, lambda: (scenario.said.append("the last is ready"), ready(crew, 1)))
    later(0.3, crew.ends, 0, 1)
    attend()
    assert scenario.said == ["the last is ready", "watch", "sample"]


def test_failures_of_all_parts_together_are_too_many(crew, attend, scenario):
    scenario.slo.load.abort_on = AbortOn(error_rate=0.2)
    ready(crew, 0, 1)
    for index in (0, 1):  # either alone is too little to say anything
        crew.says(index, **ended(*[0.1] * 8, *[None] * 4))
    attend()
    assert crew.told == ["begin", "stop: abort_on: 33.3 % of the last 24 requests failed, more than 20 %"]


def test_a_share_of_failures_that_one_part_has_alone_is_that_of_all(crew, attend, scenario):
    scenario.slo.load.abort_on = AbortOn(error_rate=0.2)
    ready(crew, 0, 1)
    crew.says(0, **ended(*[None] * 10))
    crew.says(1, **ended(*[0.1] * 90))
    later(0.2, crew.ends, 0, 1)
    attend()
    assert crew.told == ["begin"]


def test_the_p95_is_that_of_all_parts(crew, attend, scenario):
    scenario.slo.load.abort_on = AbortOn(p95_s=1.0)
    ready(crew, 0, 1)
    crew.says(0, **ended(*[0.1] * 30))
    crew.says(1, **ended(*[3.0] * 10))
    attend()
    assert crew.told == ["begin", "stop: abort_on: p95 of the last 40 requests is 3 s, more than 1 s"]


@pytest.mark.parametrize("words", [ended(stopped="no server"), {"measured": "no server"}])
def test_what_stops_one_part_stops_all(crew, attend, words):
    ready(crew, 0, 1)
    crew.says(1, **words)
    attend()
    assert crew.told == ["stop: no server"]


def test_a_part_that_is_done_stops_nobody(crew, attend):
    ready(crew, 0, 1)
    crew.says(0, measured="")
    later(0.1, crew.ends, 0, 1)
    attend()
    assert crew.told == ["begin"]


def test_the_time_of_the_session_ends_all(crew, attend, scenario):
    scenario.rig.out_of_time = True
    ready(crew, 0, 1)
    attend()
    assert crew.told == ["begin", "stop: --llm-max-time is spent"]


def test_a_part_that_says_nothing_while_it_measures_is_killed(crew, attend, monkeypatch):
    monkeypatch.setattr(oversight, "SILENT_S", 1.0)  # longer than a busy machine pauses
    ready(crew, 0, 1)
    for number in range(4):
        later(0.3 * number, lambda: crew.says(0, **ended(0.1)))
    later(1.4, crew.ends, 0)
    attend()
    assert crew.told == ["begin", "kill 1: it said nothing for 1 s"]


def test_a_part_that_is_never_ready_is_killed_and_the_others_begin(crew, attend, monkeypatch):
    monkeypatch.setattr(oversight, "MEETING_S", 0.1)
    ready(crew, 0)
    later(0.3, crew.ends, 0)
    attend()
    assert crew.told == ["kill 1: it was not ready after 0 s", "begin"]


def test_a_part_that_waits_for_the_others_is_not_silent(crew, attend, monkeypatch):
    monkeypatch.setattr(oversight, "SILENT_S", 0.1)
    ready(crew, 0)
    later(0.3, crew.ends, 0, 1)
    attend()
    assert crew.told == []


def test_fixtures_that_are_not_put_away_are_not_waited_for_forever(crew, attend, monkeypatch):
    ready(crew, 0, 1)
    crew.says(0, measured="")
    crew.ends(1)
    monkeypatch.setattr(oversight, "MEETING_S", 0.1)
    attend()
    assert crew.told == ["begin", "kill 0: its fixtures were not put away after 0 s"]


def interrupted(*_):
    raise KeyboardInterrupt


def test_ctrl_c_gives_the_parts_time_to_hand_over_what_they_have(crew, attend, scenario):
    scenario.sample = interrupted
    ready(crew, 0, 1)
    later(0.1, crew.ends, 0, 1)
    with pytest.raises(KeyboardInterrupt):
        attend()
    assert crew.told == ["interrupt"]


def test_a_second_ctrl_c_ends_all_at_once(crew, attend, scenario):
    scenario.sample = crew.interrupt = interrupted
    ready(crew, 0, 1)
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        attend()
    assert crew.told == ["kill None: it was not waited for any longer"]
    assert time.monotonic() - began_s < oversight.PATIENCE_S


def test_parts_that_do_not_end_after_ctrl_c_are_killed_in_the_end(crew, attend, scenario, monkeypatch):
    monkeypatch.setattr(oversight, "PATIENCE_S", 0.1)
    monkeypatch.setattr(oversight, "_GONE_S", 0.1)
    scenario.sample = interrupted
    ready(crew, 0, 1)
    with pytest.raises(KeyboardInterrupt):
        attend()
    assert crew.told == ["interrupt", "kill None: it was not waited for any longer"]
