from __future__ import annotations

import pytest

from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import Failure, FailureKind
from pytest_llmperf.core.iteration import Iteration, TimedStep
from pytest_llmperf.core.judge import judge, quick
from pytest_llmperf.core.measure import measure
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.pool import pool
from pytest_llmperf.core.slo import build, parse_arguments

ABOUT = Measurement(scenario="s", name="s")


def slo_of(**arguments):
    return build(parse_arguments(arguments, where="here"))


def step(name="submit", *, took_s=0.1, at_s=0.0, late_s=0.0, **more):
    return TimedStep(name=name, due_s=at_s - late_s, started_s=at_s, done_s=at_s + took_s, **more)


def iteration(*steps, exchanges=(), passed=True):
    return Iteration(started_s=0.0, done_s=1.0, steps=steps, exchanges=exchanges, passed=passed)


def measured(*iterations, about=ABOUT, **arguments):
    return measure(iterations, about=about, slo=slo_of(**arguments))


def test_without_a_model_the_outermost_steps_are_the_requests():
    one = measured(
        iteration(step("submit", took_s=0.1), step("poll", took_s=0.2, outermost=False)),
        iteration(step("submit", error="boom"), passed=None),
    )
    assert one.timed
    assert one.series["latency_s"] == pytest.approx((0.1,))
    assert (one.sent, one.failed) == (2, 1)
    assert one.proportions["success_rate"] == Count(successes=1, trials=2)
    assert [(failure.kind, failure.example) for failure in one.failures] == [("step", "submit: boom")]
    assert one.throughput["requests_per_s"] == 1.0


def test_steps_stay_the_requests_where_a_part_of_the_run_made_none():
    """Such as steps on threads of the test's own, which belong to no iteration."""
    assert pool([measured(iteration()), measured(iteration(step()))]).timed


def test_steps_are_not_the_requests_where_a_part_of_the_run_asked_a_model(request_of):
    asked = measured(iteration(step(), exchanges=(request_of(0.0, 0.3),)))
    assert not pool([measured(iteration(step())), asked]).timed


def test_with_a_model_its_requests_are_the_latency_and_steps_stand_beside(request_of):
    one = measured(iteration(step(took_s=0.7), exchanges=(request_of(0.0, 0.3),)))
    assert not one.timed
    assert one.series["latency_s"] == pytest.approx((0.3,))
    assert one.series["step:submit_s"] == pytest.approx((0.7,))
    assert one.sent == 1


def test_a_test_that_asks_a_model_has_no_latency_while_it_makes_no_request():
    """Or the latency would change its meaning when a cache answers."""
    one = measured(iteration(step()), about=Measurement(scenario="s", name="s", backend="mock"))
    assert not one.timed
    assert "latency_s" not in one.series


def test_steps_are_no_fact_of_streaming():
    assert "streaming" not in measured(iteration(step())).facts


def test_a_step_counts_from_its_due_time():
    one = measured(iteration(step(took_s=0.1, at_s=5.0, late_s=2.0)))
    assert one.series["step:submit_s"] == pytest.approx((2.1,))
    assert one.series["latency_s"] == pytest.approx((2.1,))


def test_a_failed_step_is_never_a_fast_success():
    one = measured(iteration(step(took_s=0.001, error="boom"), passed=None))
    assert "step:submit_s" not in one.series
    assert one.proportions["step:submit"] == Count(successes=0, trials=1)


def test_a_step_that_its_request_failed_is_counted_once(request_of):
    lost = request_of(failure=Failure(kind=FailureKind.CONNECT, message="refused"))
    one = measured(
        *(iteration(step(), exchanges=(request_of(),)) for _ in range(30)),
        iteration(step(error="boom", excused=True), exchanges=(lost,), passed=None),
    )
    assert [check.label for check in verdict(pool([one, one]), gate=[]).broken] == ["success_rate"]


def test_pooled_items_keep_their_steps():
    one = pool(
        [measured(iteration(step("a"))), measured(iteration(step("b"))), measured(iteration(step("a")))]
    )
    assert one.steps == ("a", "b")
    assert one.timed
    assert len(one.series["step:a_s"]) == 2


def verdict(one, history=None, judge=judge, **arguments):
    slo = slo_of(**arguments)
    return quick(one, slo) if judge is quick else judge(one, slo, history or History())


def checks(verdict):
    return {check.label: check for check in verdict.checks}


def thirty(*steps, **more):
    return measured(*(iteration(*steps, **more) for _ in range(30)))


def test_the_limits_of_a_step_are_held_against_its_own_times():
    found = checks(
        verdict(
            thirty(step("submit", took_s=0.01), step("job", took_s=0.5)),
            steps={"submit": {"p95_ms": 20, "max_ms": 15}, "job": {"p50_ms": 100, "mean_s": 0.4}},
            gate=[],
        )
    )
    assert found["step:submit p95"].outcome is Outcome.PASSED
    assert found["step:submit max"].reason == "step:submit max 10 ms ≤ 15 ms (n=30)"
    assert found["step:job p50"].outcome is Outcome.FAILED
    assert found["step:job mean"].reason == "step:job mean 500 ms > 400 ms (n=30)"


@pytest.mark.parametrize(("least", "outcome"), [(0.5, Outcome.PASSED), (1.0, Outcome.FAILED)])
def test_a_step_may_be_allowed_to_fail_now_and_then(least, outcome):
    one = measured(*(iteration(step()) for _ in range(90)), iteration(step(error="boom"), passed=None))
    arguments = {"steps": {"submit": {"success_rate": least}}, "success_rate": 0.5, "gate": []}
    found = checks(verdict(one, **arguments))
    assert found["step:submit success_rate"].outcome is outcome


def test_beside_a_model_an_outermost_step_must_not_fail_unless_told_otherwise(request_of):
    asked = (request_of(),)
    one = measured(
        *(iteration(step(), exchanges=asked) for _ in range(30)),
        iteration(step(error="boom"), exchanges=asked, passed=None),
    )
    assert checks(verdict(one, gate=[]))["step:submit success_rate"].outcome is Outcome.FAILED
    assert verdict(one, gate=[], steps={"submit": {"success_rate": 0.5}}).outcome is Outcome.PASSED


def test_a_step_inside_a_step_may_fail_unless_told_otherwise():
    """An attempt that a retry made up for."""
    one = thirty(step("attempt", error="boom", outermost=False), step("answer"))
    assert verdict(one, gate=[]).outcome is Outcome.PASSED
    found = checks(verdict(one, gate=[], steps={"attempt": {"success_rate": 0.5}}))
    assert found["step:attempt success_rate"].outcome is Outcome.FAILED


def test_a_step_that_never_ran_fails_its_limit_and_the_nearest_is_named():
    check = checks(verdict(thirty(step("submit")), steps={"sumbit": {"p95_ms": 20}}, gate=[]))[
        "step:sumbit p95"
    ]
    assert check.outcome is Outcome.FAILED
    assert check.reason == (
        "step:sumbit p95 was not measured: llm_timer('sumbit') never ran. Did you mean \"submit\"?"
    )


def test_a_success_rate_of_a_step_that_never_ran_fails():
    found = checks(verdict(thirty(step("submit")), steps={"poll": {"success_rate": 0.1}}, gate=[]))
    assert found["step:poll success_rate"].outcome is Outcome.FAILED


def test_a_step_that_always_fails_is_told_once():
    one = thirty(step(error="boom"), passed=None)
    found = checks(verdict(one, steps={"submit": {"p95_ms": 20}}, gate=[]))
    assert found["step:submit p95"].outcome is Outcome.SKIPPED
    assert found["success_rate"].outcome is Outcome.FAILED


def test_a_quick_look_judges_whether_steps_succeed_and_not_how_fast(request_of):
    one = thirty(step(took_s=9.0), exchanges=(request_of(),))
    quickly = verdict(one, judge=quick, steps={"submit": {"p95_ms": 1}})
    assert [check.label for check in quickly.checks] == [
        "success_rate",
        "pass_rate",
        "step:submit success_rate",
    ]
    assert quickly.outcome is Outcome.SKIPPED


def times(median_s, n=200):
    return tuple(median_s * (1 + 0.1 * ((7 * at) % n) / n) for at in range(n))


def run(*, slower=1.0, names=("submit", "job"), n=200):
    values = {name: times(median, n) for name, median in zip(names, (0.01, 0.5), strict=False)}
    return measured(
        *(
            iteration(
                *(
                    step(name, took_s=slower * values[name][at] if name == "job" else values[name][at])
                    for name in names
                )
            )
            for at in range(n)
        )
    )


def stored(one, n=3):
    return History(
        runs=tuple(
            StoredRun(
                scenario="s",
                saved=f"2026-05-0{at}",
                facts=one.facts,
                series=one.series,
                proportions=one.proportions,
            )
            for at in range(1, 1 + n)
        )
    )


def test_every_step_is_gated_on_its_own_and_not_their_mixture():
    found = checks(verdict(run(slower=1.5), stored(run())))
    assert found["step:job p95"].outcome is Outcome.REGRESSED
    assert found["step:submit p95"].outcome is Outcome.PASSED
    assert "p95" not in found


def test_a_single_step_is_gated_once_as_the_latency():
    found = checks(verdict(run(names=("submit",)), stored(run(names=("submit",)))))
    assert found["p95"].outcome is Outcome.PASSED
    assert "step:submit p95" not in found


def test_where_the_latency_is_not_gated_no_step_is():
    found = checks(verdict(run(slower=2.0), stored(run()), gate=["success_rate"]))
    assert set(found) == {"success_rate", "pass_rate"}


def test_a_step_that_is_new_has_no_baseline():
    found = checks(verdict(run(), stored(run(names=("submit",)))))
    assert found["step:job p95"].outcome is Outcome.NO_BASELINE


def test_a_step_that_vanished_is_inconclusive():
    found = verdict(run(names=("submit",)), stored(run()))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "step:job was measured for the baseline and is missing now" in found.reason


def test_a_gate_without_the_latency_misses_no_step():
    assert verdict(run(names=("submit",)), stored(run()), gate=["success_rate"]).outcome is Outcome.PASSED


def test_steps_that_creep_are_held_against_the_anchor():
    from dataclasses import replace

    first, last = stored(run(), 1).runs[0], stored(run(slower=1.4), 1).runs[0]
    history = History(runs=(replace(first, anchor=True), last))
    found = verdict(run(slower=1.45), history)
    assert found.outcome is Outcome.REGRESSED
    assert "since the anchor: step:job p95" in found.reason


def test_goodput_counts_steps_within_every_limit():
    one = measured(
        *(iteration(step(took_s=0.1)) for _ in range(3)), iteration(step(took_s=0.9)), p95_ms=500, goodput=0.5
    )
    assert one.proportions["goodput"] == Count(successes=3, trials=4)


def test_p99_of_a_step_raises_the_first_look():
    assert slo_of(steps={"submit": {"p99_ms": 20}}).iterations == 100


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({}, "steps: {} is not a mapping; expected a mapping of timed steps"),
        ("submit", "steps: 'submit' is not a mapping"),
        ({"submit": 20}, "submit: 20 is not a mapping of limits"),
        ({"submit": {}}, "submit: {} is not a mapping of limits"),
        ({"submit": {"p95": 20}}, 'submit: p95 is not a limit of a step. Did you mean "p95_ms"?'),
        ({"submit": {"ttft_p95_ms": 20}}, "submit: ttft_p95_ms is not a limit of a step"),
        ({"submit": {"p95_ms": "fast"}}, "submit.p95_ms: 'fast' is not a number"),
        ({" ": {"p95_ms": 2}}, "steps: ' ' is not a name"),
    ],
)
def test_bad_limits_of_steps_say_where_and_what(steps, said):
    with pytest.raises(LlmPerfUsageError) as caught:
        slo_of(steps=steps)
    assert said in str(caught.value)
    assert str(caught.value).startswith("here  steps: ")
