"""Tests with pytest-benchmark's fixture are judged by its raw rounds."""

from __future__ import annotations

import pytest

WITH_BENCHMARK = ("llmperf", "pytest_benchmark.plugin")

SCENARIO = """
ran = []

@llm_slo({limits})
def test_cache(benchmark):
    ran.append(1)
    benchmark.pedantic({function}, rounds={rounds}, iterations=1)

def test_once():
    assert len(ran) == 1
"""


def write(project, limits="p95_ms=50", *, function="lambda: None", rounds=200):
    project.test(SCENARIO.format(limits=limits, function=function, rounds=rounds))


def test_the_body_runs_once_and_its_rounds_are_judged(project):
    write(project)
    session = project.run(plugins=WITH_BENCHMARK)
    assert session.outcomes() == {"passed": 2}
    assert session.n() == 200
    assert session.scenario()["iterations"] == 200
    assert session.scenario()["outcome"] == "no_baseline"


def test_a_broken_limit_fails_it(project):
    write(project, "p50_ns=1")
    session = project.run(plugins=WITH_BENCHMARK)
    assert session.exit == 1
    assert session.scenario()["outcome"] == "failed"
    assert "test_cache  p50 " in session.text


def test_a_regression_against_the_stored_rounds_fails_it(project):
    write(project, "iterations=30", function="lambda: sum(range(2000))")
    assert project.run("--save-baseline", plugins=WITH_BENCHMARK).exit == 0
    write(project, "iterations=30", function="lambda: sum(range(200_000))")
    session = project.run(plugins=WITH_BENCHMARK)
    assert session.exit == 1
    assert session.scenario()["outcome"] == "regressed"


def test_a_failing_body_shows_its_error(project):
    write(project, function="lambda: 1 / 0")
    session = project.run(plugins=WITH_BENCHMARK)
    assert session.exit == 1
    assert "ZeroDivisionError" in session.text
    assert session.scenario()["outcome"] == "failed"


def test_many_rounds_are_thinned_out(project):
    write(project, rounds=12_000)
    session = project.run(plugins=WITH_BENCHMARK)
    assert session.exit == 0
    assert session.n() == 4000


@pytest.mark.parametrize("limits", ["p95_ms=50", "iterations=30"])
def test_a_fixture_that_is_switched_off_cannot_pass_unmeasured(project, limits):
    """As pytest-benchmark does by itself under xdist."""
    write(project, limits)
    session = project.run("--benchmark-disable", plugins=WITH_BENCHMARK)
    assert session.exit == 1
    assert "pytest-benchmark measured nothing: it is switched off" in session.text


def test_another_fixture_of_that_name_is_an_ordinary_one(project):
    project.test(
        """
        @pytest.fixture
        def benchmark():
            return "mine"

        @llm_slo(p95_ms=150, warmup=0, iterations=5)
        def test_router(ask, benchmark):
            assert benchmark == "mine"
            ask()
        """
    )
    assert project.run().n() == 5
