from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.health import Health, saturation, worst
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.load_report import LoadReport, merge, pool_loads
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.slo import build, parse_arguments
from pytest_llmperf.core.verdict import CheckKind

WELL = Health(lag_p95_s=0.0004, cpu_share=0.2, late_chunks=1, chunks=100)
LOAD = LoadReport(profile="20/s", planned=100, started=100, peak=4, health=WELL)


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (Health(lag_p95_s=0.011), "the generator was 11 ms late at p95, 11 % of the median TTFT, 100 ms"),
        (Health(schedule_lag_p95_s=0.02), "iterations began 20 ms late at p95"),
        (Health(cpu_share=0.97), "the generator used 97 % of a core"),
        (Health(late_chunks=6, chunks=100), "6 % of the chunks may have been read late"),
    ],
)
def test_a_generator_that_cannot_keep_up_says_so(health, said):
    assert [doubt.told[: len(said)] for doubt in saturation(health, typical_s=0.1, of="TTFT")] == [said]


def test_a_lag_counts_by_what_is_measured():
    late = Health(lag_p95_s=0.005)
    assert not list(saturation(late, typical_s=2.0, of=""))
    assert list(saturation(late, typical_s=0.02, of=""))
    assert not list(saturation(Health(lag_p95_s=0.0009), typical_s=0.001, of=""))
    assert not list(saturation(late, typical_s=None, of=""))


def test_several_processes_are_as_healthy_as_the_worst():
    other = Health(lag_p95_s=0.01, lag_max_s=0.02, cpu_share=0.1, late_chunks=3, chunks=50)
    assert worst([WELL, other]) == Health(
        lag_p95_s=0.01, lag_max_s=0.02, cpu_share=0.2, late_chunks=4, chunks=150
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dropped": 2}, "2 of 100 arrivals were dropped, with 4 iterations under way"),
        ({"interrupted": 2}, "2 of 100 iterations were still under way at the end"),
        ({"lost": 1, "processes": 4}, "the share of 1 of 4 processes is lost"),
    ],
)
def test_a_load_that_was_not_what_it_should_be_is_doubted(changed, said):
    assert not list(LOAD.doubts(0.1, of="TTFT"))
    (doubt,) = replace(LOAD, **changed).doubts(0.1, of="TTFT")
    assert doubt.told.startswith(said)


def measured(load, **more):
    return Measurement(
        scenario="a",
        name="a",
        iterations=100,
        series={"latency_s": (0.1,) * 100, **more.pop("series", {})},
        proportions={"success_rate": Count(successes=100, trials=100)} | more.pop("proportions", {}),
        sent=100,
        load=load,
        **more,
    )


def verdict(measurement, **limits):
    return judge(measurement, build(parse_arguments(limits, where="")), History(absent="none"))


def test_a_saturated_generator_makes_times_inconclusive_both_ways():
    sick = replace(LOAD, health=replace(WELL, cpu_share=0.99))
    for bound_ms in (50, 500):
        check = verdict(measured(sick), p95_ms=bound_ms).checks[0]
        assert check.outcome is Outcome.INCONCLUSIVE
        assert check.reason.startswith("the generator used 99 % of a core, so p95 ")
    assert verdict(measured(LOAD), p95_ms=50).outcome is Outcome.FAILED


def test_a_step_is_doubted_as_a_request_is_and_its_failures_are_not():
    late = replace(LOAD, health=replace(WELL, cpu_share=0.99))
    steps = {"login": {"p95_ms": 850, "success_rate": 0.9}}

    def timed(load, *, successes=100):
        count = {"step:login": Count(successes=successes, trials=100)}
        return measured(load, series={"step:login_s": (3.0,) * 100}, proportions=count)

    assert verdict(timed(LOAD), steps=steps).outcome is Outcome.FAILED
    assert verdict(timed(late), steps=steps).outcome is Outcome.INCONCLUSIVE
    assert verdict(timed(late, successes=50), steps=steps).outcome is Outcome.FAILED


def test_a_doubted_run_without_a_baseline_is_inconclusive_with_the_doubt():
    sick = verdict(measured(replace(LOAD, dropped=50)))
    assert sick.outcome is Outcome.INCONCLUSIVE
    assert sick.reason.startswith("50 of 100 arrivals were dropped")
    assert verdict(measured(LOAD)).outcome is Outcome.NO_BASELINE


@pytest.mark.parametrize("gates", [["p95_ms", "success_rate"], ["success_rate", "p95_ms"]])
def test_a_doubt_about_a_run_without_a_baseline_does_not_depend_on_the_order_of_its_gates(gates):
    assert verdict(measured(replace(LOAD, dropped=50)), gate=gates).outcome is Outcome.INCONCLUSIVE


def test_what_no_generator_changes_lacks_its_baseline_all_the_same():
    assert verdict(measured(replace(LOAD, dropped=50)), gate=["success_rate"]).outcome is Outcome.NO_BASELINE


def test_a_saturated_generator_does_not_excuse_failed_requests():
    sick = replace(LOAD, health=replace(WELL, cpu_share=0.99))
    broken = {"success_rate": Count(successes=50, trials=100)}
    assert verdict(measured(sick, proportions=broken), p95_ms=500).outcome is Outcome.FAILED


def test_the_median_time_to_first_token_decides_where_there_is_one():
    late = replace(LOAD, health=Health(lag_p95_s=0.005, lag_max_s=0.02))
    assert verdict(measured(late), p95_ms=110).checks[0].outcome is Outcome.PASSED
    streamed = measured(late, series={"ttft_s": (0.02,) * 100})
    assert verdict(streamed, p95_ms=110).checks[0].outcome is Outcome.INCONCLUSIVE


LATE = Health(lag_p95_s=0.02, lag_max_s=0.03, schedule_lag_p95_s=0.02, schedule_lag_max_s=0.04)


@pytest.mark.parametrize(
    ("p95_ms", "outcome"),
    [
        (29, Outcome.FAILED),  # without all that the generator can have added, 30 ms
        (31, Outcome.INCONCLUSIVE),
        (699, Outcome.INCONCLUSIVE),
        (701, Outcome.PASSED),
    ],
)
def test_a_late_generator_puts_in_doubt_what_its_lateness_could_change(p95_ms, outcome):
    late = measured(replace(LOAD, health=LATE))
    for limits in ({"p95_ms": p95_ms}, {"max_ms": p95_ms}):
        found = verdict(late, **limits)
        assert found.checks[0].outcome is outcome
        assert "iterations began 20 ms late at p95" in " ".join(found.warnings)


@pytest.mark.parametrize(("p95_ms", "outcome"), [(19, Outcome.FAILED), (21, Outcome.INCONCLUSIVE)])
def test_chunks_read_late_are_late_by_the_longest_lag_and_what_piled_up(p95_ms, outcome):
    late = measured(replace(LOAD, health=Health(late_chunks=50, chunks=100, lag_max_s=0.04)))
    assert verdict(late, p95_ms=p95_ms).checks[0].outcome is outcome
    assert verdict(late, p95_ms=2000).checks[0].outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("missing", [{"dropped": 50}, {"interrupted": 50}])
def test_what_is_too_slow_without_the_slowest_is_too_slow(missing):
    """A server that cannot bear the rate fails, although the load could not be carried out."""
    short = measured(replace(LOAD, **missing))
    assert verdict(short, p95_ms=50).outcome is Outcome.FAILED
    kept = verdict(short, p95_ms=500).checks[0]
    assert kept.outcome is Outcome.INCONCLUSIVE
    assert kept.reason.startswith("50 of 100 ")


@pytest.mark.parametrize(
    ("times", "health", "outcome"),
    [
        (3.0, LATE, Outcome.REGRESSED),
        (1.5, LATE, Outcome.INCONCLUSIVE),  # x0.8 to 1.5
        (1.5, WELL, Outcome.REGRESSED),
        (1.0, LATE, Outcome.INCONCLUSIVE),
        (0.5, LATE, Outcome.INCONCLUSIVE),
    ],
)
def test_a_regression_stands_that_lateness_cannot_explain(times, health, outcome):
    before = [0.1 + 0.0001 * (number % 7) for number in range(100)]
    late = measured(replace(LOAD, health=health), series={"latency_s": [times * one for one in before]})
    stored = StoredRun.of(replace(late, series={"latency_s": before}, load=None), label="main")
    slo = build(parse_arguments({"gate": ["p95_ms"]}, where=""))
    found = judge(late, slo, History(runs=(stored,)))
    (check,) = [check for check in found.checks if check.kind is CheckKind.REGRESSION]
    assert check.outcome is outcome, check


def test_a_rate_is_doubted_whatever_it_is():
    """A late generator asks for less: fewer requests a second are not the server's."""
    for least in (1, 1e6):
        slow = replace(measured(replace(LOAD, health=LATE)), wall_s=10.0)
        assert verdict(slow, requests_per_s=least).checks[0].outcome is Outcome.INCONCLUSIVE


def test_a_lost_process_leaves_no_verdict_whatever_is_promised():
    found = verdict(measured(replace(LOAD, lost=1, processes=2)))
    assert (found.outcome, found.reason) == (
        Outcome.INCONCLUSIVE,
        "the share of 1 of 2 processes is lost",
    )


def test_a_lost_process_does_not_hide_what_is_broken():
    broken = {"success_rate": Count(successes=50, trials=100)}
    found = verdict(measured(replace(LOAD, lost=1, processes=2), proportions=broken))
    assert found.outcome is Outcome.FAILED
    assert found.reason.startswith("success_rate 50 % < 100 %")
    assert "the share of 1 of 2 processes is lost" in found.warnings


def test_doubts_are_warned_of_whatever_is_judged():
    doubted = verdict(measured(replace(LOAD, lost=1)))
    assert "the share of 1 of 1 processes is lost" in doubted.warnings


def test_without_a_time_only_what_needs_none_is_doubted():
    nothing = replace(measured(replace(LOAD, dropped=50)), series={})
    assert verdict(nothing, requests_per_s=1).checks[0].observed is None


def test_an_aborted_run_has_failed():
    aborted = measured(replace(LOAD, aborted=True), stopped="abort_on: 30 % of the last 40 requests failed")
    found = verdict(aborted, p95_ms=500)
    assert (found.outcome, found.reason) == (Outcome.FAILED, aborted.stopped)


def test_processes_that_share_a_profile_are_one_report():
    merged = merge([LOAD, replace(LOAD, started=99, dropped=1)], processes=3)
    assert (merged.planned, merged.started, merged.dropped, merged.peak, merged.lost) == (200, 199, 1, 8, 1)
    assert merge([replace(LOAD, planned=None)], processes=1).planned is None


def test_runs_one_after_another_are_pooled():
    assert pool_loads([]) is None
    assert pool_loads([LOAD]) is LOAD
    pooled = pool_loads([replace(LOAD, lost=1, processes=2), LOAD])
    assert (pooled.profile, pooled.started, pooled.peak, pooled.lost, pooled.processes) == (
        "20/s",
        200,
        4,
        1,
        2,
    )
    assert pool_loads([LOAD, replace(LOAD, profile="5 users")]).profile == "mixed"
