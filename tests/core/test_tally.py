from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.exchange import Failure, FailureKind, Tokens
from pytest_llmperf.core.iteration import NamedCheck, TimedStep
from pytest_llmperf.core.measure import measure
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.slo import build, parse_arguments
from pytest_llmperf.core.tally import Tally
from pytest_llmperf.core.timeline import MOST_STEPS, Reading, Timeline, timeline, with_server

ABOUT = Measurement(
    scenario="test_a.py::test_a", name="test_a", facts={"backend kind": "openai", "items": "1 (ab)"}
)
SLO = build(parse_arguments({"goodput": 0.5, "p95_ms": 120}, where=""))
BUSY = Failure(kind=FailureKind.HTTP_STATUS, message="503", status=503)


def tally_of(*iterations):
    tally = Tally(about=ABOUT, slo=SLO, prices={})
    for iteration in iterations:
        tally.add(iteration)
    return tally


def test_nothing_is_what_it_was_about():
    assert tally_of().measurement() == ABOUT
    assert tally_of().timeline(0.0) == Timeline()


@given(
    kinds=st.lists(st.tuples(st.floats(0.01, 0.5), st.booleans(), st.booleans()), min_size=1, max_size=200),
)
def test_a_tally_says_what_measuring_all_at_once_says(request_of, iteration_of, kinds):
    iterations = [
        iteration_of(
            request_of(
                0.1 * number,
                latency_s,
                failure=BUSY if failed else None,
                tokens=None if failed else Tokens(output=3),
            ),
            at_s=0.1 * number,
            checks=(NamedCheck(name="route", passed=passed),),
            passed=None if failed else passed,
        )
        for number, (latency_s, failed, passed) in enumerate(kinds)
    ]
    expected = measure(iterations, about=ABOUT, slo=SLO)
    found = tally_of(*iterations).measurement()
    assert found.series == expected.series
    assert (found.proportions, found.checks, found.failures, found.tokens) == (
        expected.proportions,
        expected.checks,
        expected.failures,
        expected.tokens,
    )
    assert (found.sent, found.failed, found.iterations) == (
        expected.sent,
        expected.failed,
        expected.iterations,
    )
    assert (found.busy_s, found.facts) == (pytest.approx(expected.busy_s), expected.facts)


def test_the_wall_time_is_from_the_first_start_to_the_last_end(iteration_of):
    tally = tally_of(iteration_of(at_s=5.0, took_s=10.0), iteration_of(at_s=2.0, took_s=1.0))
    assert tally.measurement().wall_s == 13.0


def test_requests_of_no_iteration_are_samples_and_no_iteration(request_of, iteration_of):
    tally = tally_of(iteration_of(request_of()))
    tally.add_loose((request_of(1.0, 0.4),), (NamedCheck(name="late", passed=True),))
    tally.add_loose((), ())
    measured = tally.measurement()
    assert (measured.iterations, measured.sent) == (1, 2)
    assert measured.series["latency_s"] == pytest.approx((0.1, 0.4))
    assert measured.proportions["pass_rate"].trials == 1
    assert measured.checks[0].name == "late"
    assert measured.wall_s == pytest.approx(0.2)


def test_only_loose_checks_are_no_time(request_of):
    tally = tally_of()
    tally.add_loose((), (NamedCheck(name="late", passed=True),))
    assert (tally.measurement().wall_s, tally.measurement().iterations) == (0.0, 0)


def test_an_iteration_without_its_other_arm_counts_and_is_no_sample(request_of, iteration_of):
    tally = tally_of(iteration_of(request_of()))
    tally.add_unpaired(iteration_of(request_of(1.0, 0.4)))
    measured = tally.measurement()
    assert (measured.iterations, measured.sent, len(measured.series["latency_s"])) == (2, 2, 1)


def test_the_time_line_has_what_happened_in_each_second(request_of, iteration_of):
    tally = tally_of(
        iteration_of(request_of(10.2, 0.3), at_s=10.2, took_s=0.3),
        iteration_of(request_of(10.5, 1.0), at_s=10.5, took_s=1.0),
        iteration_of(request_of(11.1, 0.2, failure=BUSY, tokens=None), at_s=11.1, took_s=0.2),
    )
    assert tally.timeline(10.0) == Timeline(
        started=(2, 1),
        finished=(1, 2),
        failed=(0, 1),
        tokens=(6, 6),
        p95_s=(pytest.approx(0.3), pytest.approx(1.0)),
        in_flight=(1, 0),
        users=(1, 0),
        queued=(0, 0),
    )


def test_steps_that_are_the_requests_have_a_time_line_too(iteration_of):
    def step(due_s, began_s, done_s, **more):
        return TimedStep(name="get", due_s=due_s, started_s=began_s, done_s=done_s, **more)

    tally = tally_of(
        iteration_of(steps=(step(0.1, 0.1, 0.4), step(0.1, 0.1, 0.2, outermost=False)), at_s=0.1, took_s=0.3),
        iteration_of(steps=(step(0.8, 1.1, 1.3, error="boom"),), at_s=0.8, took_s=0.5),
    )
    assert tally.timeline(0.0) == Timeline(
        started=(1, 1),
        finished=(1, 1),
        failed=(0, 1),
        tokens=(0, 0),
        p95_s=(pytest.approx(0.3), None),
        in_flight=(0, 0),
        users=(1, 0),
        queued=(1, 0),
    )
    assert tally.measurement().busy_s == pytest.approx(0.3)


def test_steps_around_requests_to_a_model_are_not_in_the_time_line(request_of, iteration_of):
    step = TimedStep(name="answer", due_s=0.0, started_s=0.0, done_s=0.9)
    assert tally_of(iteration_of(request_of(0.0, 0.5), steps=(step,))).timeline(0.0).finished == (1,)


def test_a_second_without_an_answer_has_no_percentile(request_of, iteration_of):
    assert tally_of(iteration_of(request_of(0.0, 2.5))).timeline(0.0).p95_s == (None, None, 2.5)


def test_a_long_run_has_longer_steps():
    day_s = 86400.0
    line = timeline(
        began_s=0.0,
        due_s=[0.0, day_s - 1],
        sent_s=[0.0, day_s - 1],
        done_s=[1.0, day_s],
        latency_s=[1.0, math.nan],
        tokens=[math.nan, math.nan],
        spans=([], []),
    )
    assert len(line.finished) <= MOST_STEPS + 1
    assert (sum(line.finished), sum(line.failed), line.step_s) == (2, 1, 24.0)


def test_iterations_are_reduced_as_they_come_and_none_is_lost(request_of, iteration_of):
    tally = tally_of(
        *(iteration_of(request_of(float(number), 0.5), at_s=float(number)) for number in range(1000))
    )
    assert len(tally._waiting) < 64
    measured = tally.measurement()
    assert (measured.sent, len(measured.series["ttft_s"]), measured.busy_s) == (
        1000,
        1000,
        pytest.approx(500),
    )


def test_the_time_line_has_what_was_due_and_waited_in_the_generator():
    line = timeline(
        began_s=10.0,
        due_s=[10.1, 10.2, 10.3, 12.0],
        sent_s=[10.1, 11.5, 12.2, 12.0],
        done_s=[10.2, 12.4, 12.5, 12.6],
        latency_s=[0.1, 2.2, 2.2, 0.6],
        tokens=[1, 1, 1, 1],
        spans=([10.1, 10.2, 10.3, 12.0], [10.2, 12.4, 12.5, 12.6]),
    )
    assert line.queued == (2, 1, 0)
    assert line.in_flight == (0, 1, 0)


def read(at_s, **told):
    return Reading(at_s=at_s, told=told)


def test_a_step_has_what_the_server_said_last_before_its_end():
    readings = [
        read(99.9, server_waiting=7.0),  # a moment before the load began
        read(100.4, server_waiting=1.0, kv_cache_percent=12.5),
        read(100.6, server_waiting=2.0),
        read(103.2, server_waiting=4.0),
        read(109.0, server_waiting=9.0),  # after its end
    ]
    line = with_server(Timeline(users=(1,) * 5), readings, began_s=100.0)
    assert line.server_waiting == (2.0, 2.0, None, 4.0, 4.0)
    assert line.kv_cache_percent == (12.5, 12.5, None, None, None)
    assert line.server_running == ()


def test_a_server_that_says_nothing_leaves_the_time_line_as_it_is():
    line = Timeline(users=(1, 2))
    assert with_server(line, [], began_s=0.0) == line
