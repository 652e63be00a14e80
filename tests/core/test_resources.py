from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.judge import judge, quick
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.pool import pool
from pytest_llmperf.core.resources import (
    POINTS,
    Resources,
    Usage,
    made_by,
    pool_resources,
    thinned,
    thinned_times,
)
from pytest_llmperf.core.slo import build, parse_arguments


def verdict_on(used, judge=judge, **limits):
    slo = build(parse_arguments({**limits, "gate": []}, where="test"))
    measurement = Measurement(scenario="s", name="s", resources=used)
    return judge(measurement, slo, History()) if judge is not quick else quick(measurement, slo)


def used(name, *, mean, peak):
    return Resources(seconds=3.0, usage={name: Usage(mean=mean, peak=peak, n=7)})


def test_memory_is_limited_by_its_peak():
    check = verdict_on(used("rss_mb", mean=400.0, peak=700.0), rss_mb=600).checks[0]
    assert check.outcome is Outcome.FAILED
    assert check.reason == "rss_mb peak 700 MB > 600 MB (7 samples in 3 s)"


def test_cpu_is_limited_by_its_mean():
    check = verdict_on(used("cpu_percent", mean=80.0, peak=190.0), cpu_percent=90).checks[0]
    assert check.outcome is Outcome.PASSED
    assert check.reason == "cpu_percent mean 80 % ≤ 90 % (7 samples in 3 s)"


@pytest.mark.parametrize(("mean", "outcome"), [(60.0, Outcome.PASSED), (40.0, Outcome.FAILED)])
def test_a_gpu_must_not_idle(mean, outcome):
    assert verdict_on(used("gpu_percent", mean=mean, peak=99.0), gpu_percent_min=50).outcome is outcome


def test_a_gpu_may_be_limited_from_both_sides():
    checks = verdict_on(used("gpu_percent", mean=95.0, peak=99.0), gpu_percent=90, gpu_percent_min=50).checks
    assert [check.outcome for check in checks] == [Outcome.FAILED, Outcome.PASSED]


def test_what_could_not_be_sampled_is_inconclusive_and_says_why():
    verdict = verdict_on(Resources(missing={"rss_mb": "the server is not on this machine"}), rss_mb=600)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason == "rss_mb peak was not sampled: the server is not on this machine"


def test_what_nobody_tried_to_sample_is_inconclusive_too():
    assert verdict_on(Resources(), gpu_memory_mb=600).outcome is Outcome.INCONCLUSIVE


def test_a_note_about_the_numbers_is_a_warning_of_the_check():
    resources = Resources(usage={"cpu_percent": Usage(mean=1.0, peak=1.0, n=1)}, notes=("interleaved",))
    assert verdict_on(resources, cpu_percent=50).warnings == ("cpu_percent mean: interleaved",)


def test_a_quick_look_does_not_judge_resources():
    assert verdict_on(used("rss_mb", mean=1.0, peak=9999.0), judge=quick, rss_mb=600).checks == ()


def test_a_short_time_line_is_kept_whole():
    assert thinned([1.0, None, 3.0]) == (1.0, None, 3.0)
    assert thinned_times([0.0, 1.0]) == (0.0, 1.0)


def test_a_long_time_line_keeps_its_peaks_and_as_many_times_as_points():
    points = [0.0] * 3001
    points[1777] = 5.0
    line, times = thinned(points), thinned_times([float(at) for at in range(3001)])
    assert len(line) == len(times) <= POINTS
    assert max(line) == 5.0
    assert times[line.index(5.0)] == pytest.approx(1777, abs=8)


def test_neighbours_that_are_both_unknown_stay_unknown():
    assert thinned([None, None, 1.0, None, 2.0], 3) == (None, 1.0, 2.0)


def test_items_of_one_scenario_are_pooled_by_peak_and_by_weighted_mean():
    one = Resources(
        seconds=2.0,
        usage={"rss_mb": Usage(mean=100.0, peak=120.0, n=3)},
        missing={"gpu_percent": "no GPU"},
        notes=("same",),
        at_s=(0.0, 1.0, 2.0),
        line={"rss_mb": (80.0, 100.0, 120.0)},
    )
    other = Resources(
        seconds=1.0,
        usage={"rss_mb": Usage(mean=200.0, peak=200.0, n=1), "gpu_percent": Usage(mean=5.0, peak=9.0, n=1)},
        notes=("same",),
        at_s=(0.5,),
        line={"rss_mb": (200.0,), "gpu_percent": (9.0,)},
    )
    assert pool_resources([one, other]) == Resources(
        seconds=3.0,
        usage={"rss_mb": Usage(mean=125.0, peak=200.0, n=4), "gpu_percent": Usage(mean=5.0, peak=9.0, n=1)},
        notes=("same",),
        at_s=(0.0, 1.0, 2.0, 2.5),
        line={"rss_mb": (80.0, 100.0, 120.0, 200.0), "gpu_percent": (None, None, None, 9.0)},
    )


def test_a_pooled_scenario_has_the_resources_of_its_items():
    parts = [
        Measurement(scenario="s", name="s", resources=used("rss_mb", mean=peak, peak=peak))
        for peak in (100.0, 300.0, 200.0)
    ]
    assert pool(parts).resources.usage["rss_mb"].peak == 300.0


def generator(at_s, percents, *, mean=None):
    """What one process that makes load said of itself."""
    return Resources(
        seconds=at_s[-1],
        usage={"generator_cpu_percent": Usage(mean=mean or 50, peak=max(percents), n=len(percents))},
        at_s=tuple(at_s),
        line={"generator_cpu_percent": tuple(percents)},
    )


SEEN = Resources(
    seconds=1.0,
    usage={
        "cpu_percent": Usage(mean=1, peak=2, n=3),
        "generator_cpu_percent": Usage(mean=1, peak=1, n=3),  # who leads makes no load
    },
    at_s=(0.0, 0.5, 1.0),
    line={"cpu_percent": (1.0, 1.0, 2.0), "generator_cpu_percent": (1.0, 1.0, 1.0)},
)


def test_processes_that_make_the_load_together_are_the_generator():
    parts = [generator([0.1, 0.6], [40.0, 60.0]), generator([0.2, 0.7], [30.0, 90.0])]
    told = made_by(parts, seen=SEEN)
    assert told.usage["generator_cpu_percent"] == Usage(mean=100, peak=150, n=2)
    assert told.line["generator_cpu_percent"] == (None, 70.0, 150.0)
    assert told.usage["cpu_percent"] == SEEN.usage["cpu_percent"]
    assert told.line["cpu_percent"] == SEEN.line["cpu_percent"]


def test_their_peak_is_never_less_than_their_mean():
    assert made_by([generator([5.0], [7.0], mean=9)], seen=SEEN).usage["generator_cpu_percent"].peak == 9


def test_without_a_time_line_their_peaks_are_added():
    flat = replace(generator([0.1], [40.0]), at_s=(), line={})
    assert made_by([flat, flat], seen=SEEN).usage["generator_cpu_percent"].peak == 100


def test_what_no_process_tells_of_itself_is_missing_with_its_reason():
    silent = Resources(missing={"generator_cpu_percent": "too short", "rss_mb": "not its business"})
    told = made_by([silent], seen=replace(SEEN, missing={"gpu_percent": "no GPU"}))
    assert "generator_cpu_percent" not in told.usage
    assert told.missing == {"generator_cpu_percent": "too short", "gpu_percent": "no GPU"}
