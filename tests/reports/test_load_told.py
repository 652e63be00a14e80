"""How reports tell of a load profile that was carried out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmperf.core.connections import Connections
from pytest_llmperf.core.health import Health
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measurement import Count
from pytest_llmperf.reports import html, markdown, terminal

LOAD = LoadReport(profile="20/s", planned=200, started=190, dropped=10, peak=12, health=Health(cpu_share=0.1))


@pytest.fixture
def loaded(runs):
    """A run of one scenario under a load."""

    def loaded(load=LOAD):
        connections = Connections(opened=12, late=2, tcp_s=(0.001, 0.003), tls_s=(0.02,))
        measured = runs.measured(n=190, load=load, wall_s=10.0, connections=connections)
        return runs.run_of(runs.judged(replace(measured, sent=190), runs.slo(p95_ms=900)))

    return loaded


def in_terminal(run):
    lines = terminal.render(run, width=100, verbosity=0)
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def test_throughput_is_told_beside_the_profile(loaded):
    assert "load: 20/s, 190 of 200 arrivals, at most 12 at once, 10 dropped, 19 requests/s; " in in_terminal(
        loaded()
    )


def test_the_share_of_requests_within_every_time_limit_is_told_beside_the_throughput(loaded):
    run = loaded()
    (scenario,) = run.scenarios
    measured = scenario.measurement
    counted = {**measured.proportions, "goodput": Count(successes=95, trials=100)}
    told = replace(run, scenarios=(replace(scenario, measurement=replace(measured, proportions=counted)),))
    assert "19 requests/s, goodput 95 %; " in in_terminal(told)


def test_steps_are_not_called_requests_as_one_may_make_many(loaded):
    run = loaded()
    (scenario,) = run.scenarios
    timed = replace(scenario.measurement, timed=True)
    told = replace(run, scenarios=(replace(scenario, measurement=timed),))
    assert "19 steps/s; " in in_terminal(told)
    assert "190 steps, 0 failed" in html.render(told)


def test_throughput_is_that_of_the_arm_where_two_share_the_load(loaded):
    run = loaded()
    scenario = run.scenarios[0]
    shared = replace(run, scenarios=(replace(scenario, base=scenario.measurement),))
    assert "19 requests/s of vllm; " in in_terminal(shared)


def test_a_member_of_a_mix_has_a_part_of_its_arrivals(loaded):
    assert "190 of the mix's 200 arrivals" in in_terminal(loaded(replace(LOAD, mixed=True)))


def test_the_page_has_a_table_of_connections(loaded):
    page = html.render(loaded())
    assert '<th scope="row">TCP</th><td>2</td><td>2 ms</td><td>3 ms</td>' in page


def test_the_comment_has_a_table_of_loads(loaded, runs):
    page = markdown.render(loaded())
    assert (
        "| <code>test_router</code> | 20/s | 190 of 200 arrivals, at most 12 at once, 10 dropped "
        "| 19 requests/s | 10 %" in page
    )
    assert "Under load" not in markdown.render(runs.of("passed"))


def test_a_doubt_that_the_verdict_tells_is_no_warning_as_well(loaded):
    told = in_terminal(loaded())
    assert told.count("10 of 200 arrivals were dropped") == 1
    assert html.render(loaded()).count("warning: 10 of 200") == 0
