from __future__ import annotations

import pytest

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Run, Scenario, drift
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict


def scenario(ratio=None, *, outcome=Outcome.PASSED, metric="latency", statistic="p95"):
    check = Check(
        metric=metric,
        statistic=statistic,
        kind=CheckKind.REGRESSION,
        unit="s",
        limit=1.1,
        observed=0.1,
        ratio=ratio,
        outcome=outcome,
        reason="",
    )
    return Scenario(
        measurement=Measurement(scenario="a", name="a"),
        slo=Slo(),
        verdict=Verdict(outcome=outcome, reason="", checks=(check,)),
    )


def test_a_run_is_as_bad_as_its_worst_scenario():
    run = Run(started="", scenarios=(scenario(), scenario(outcome=Outcome.REGRESSED), scenario()))
    assert run.outcome is Outcome.REGRESSED


def test_a_run_with_a_problem_never_passes():
    assert Run(started="", scenarios=(scenario(),), problems=("a worker crashed",)).outcome is Outcome.FAILED


def test_a_run_without_scenarios_is_skipped():
    assert Run(started="").outcome is Outcome.SKIPPED


def test_scenarios_that_become_slower_together_point_at_the_machine():
    assert drift([scenario(1.12)] * 4 + [scenario(1.0)]) == (
        "4 of 5 scenarios became slower together: machine drift suspected, "
        "compare on another machine or save a new baseline"
    )


@pytest.mark.parametrize(
    "scenarios",
    [
        [],
        [scenario(1.5)] * 4,
        [scenario(1.5)] * 3 + [scenario(1.0)] * 2,
        [scenario(1.04)] * 9,
        [scenario()] * 9,
        [scenario(1.5, metric="ttft")] * 9,
        [scenario(1.5, statistic="p50")] * 9,
    ],
)
def test_less_than_that_points_at_nothing(scenarios):
    assert drift(scenarios) is None
