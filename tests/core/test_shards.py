from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.shards import Part, put_together
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.tally import Tally

ABOUT = Measurement(scenario="a", name="a", facts={"load profile": "2 users"})


def part(tally, *, began_s):
    requests, spans = tally.columns(began_s)
    measured = tally.measurement()
    load = LoadReport(profile="2 users", started=measured.iterations, peak=1)
    from dataclasses import replace

    return Part(measurement=replace(measured, load=load), requests=requests, spans=spans)


@given(
    parts=st.lists(
        st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 2)), min_size=1, max_size=90),
        min_size=1,
        max_size=4,
    )
)
def test_parts_hold_every_sample_of_the_whole(request_of, iteration_of, parts):
    """Each process has a clock of its own, so nothing may depend on when its run began there."""
    whole = Tally(about=ABOUT, slo=Slo(), prices={})
    given = []
    for number, timings in enumerate(parts):
        began_s = 1000.0 * number
        mine = Tally(about=ABOUT, slo=Slo(), prices={})
        for at_s, took_s in timings:
            mine.add(iteration_of(request_of(began_s + at_s, took_s), at_s=began_s + at_s, took_s=took_s))
            whole.add(iteration_of(request_of(at_s, took_s), at_s=at_s, took_s=took_s))
        given.append(part(mine, began_s=began_s))
    found, expected = put_together(given, about=ABOUT, processes=len(parts)), whole.measurement()
    assert sorted(found.series["latency_s"]) == pytest.approx(sorted(expected.series["latency_s"]))
    assert (found.sent, found.iterations, found.tokens) == (
        expected.sent,
        expected.iterations,
        expected.tokens,
    )
    assert (found.busy_s, found.wall_s) == (pytest.approx(expected.busy_s), pytest.approx(expected.wall_s))
    assert found.load.started == expected.iterations
    assert sum(found.load.timeline.finished) == expected.sent


def test_samples_of_all_parts_are_in_the_order_of_time(request_of, iteration_of):
    given = []
    for _ in range(2):
        tally = Tally(about=ABOUT, slo=Slo(), prices={})
        for number in range(4):
            tally.add(iteration_of(request_of(float(number), 0.1 * (number + 1)), at_s=float(number)))
        given.append(part(tally, began_s=0.0))
    series = put_together(given, about=ABOUT, processes=2).series["latency_s"]
    assert series == pytest.approx((0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4))


def test_a_missing_part_is_lost(request_of, iteration_of):
    tally = Tally(about=ABOUT, slo=Slo(), prices={})
    tally.add_loose((), ())
    alone = put_together([part(tally, began_s=0.0)], about=ABOUT, processes=3)
    assert (alone.load.lost, alone.load.processes, alone.wall_s) == (2, 3, 0.0)


def test_of_a_part_that_ended_early_a_share_is_lost_too(request_of, iteration_of):
    tally = Tally(about=ABOUT, slo=Slo(), prices={})
    tally.add(iteration_of(request_of()))
    early = put_together([part(tally, began_s=0.0)], about=ABOUT, processes=2, lost=2)
    assert (early.load.lost, early.iterations) == (2, 1)
