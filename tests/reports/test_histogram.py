from __future__ import annotations

import pytest

from pytest_llmperf.core.plain import UNSAFE
from pytest_llmperf.reports.histogram import bars, render
from pytest_llmperf.reports.width import columns


def test_the_tallest_bar_stands_where_most_values_are():
    assert bars([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0], 3) == "▁█▁"


def test_a_gap_between_two_modes_is_empty():
    assert bars([1.0, 1.0, 3.0, 3.0], 3) == "█ █"


def test_a_single_slow_request_among_thousands_is_seen():
    assert bars([1.0] * 5000 + [9.0], 8) == "█      ▁"


def test_a_wide_distribution_is_shown_on_a_logarithmic_scale():
    assert bars([1.0, 10.0, 100.0], 3) == "███"


def test_values_that_are_all_equal_are_one_bar():
    assert bars([0.2] * 5, 10) == "█"


def test_a_zero_does_not_break_the_scale():
    assert len(bars([0.0, 1.0], 10)) == 10


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(runs, width):
    assert max(columns(line) for line in render(runs.everything(), width=width)) <= width


def test_a_line_names_scenario_smallest_and_largest(runs):
    (line,) = render(runs.of("passed"), width=80)
    latency = runs.scenario("passed").measurement.series["latency_s"]
    assert (line.startswith("test_chat "), line.endswith(f" {max(latency) * 1000:.0f} ms")) == (True, True)


def test_scenarios_without_requests_have_no_line(runs):
    assert render(runs.of("silent", "unreachable"), width=80) == []


def test_names_are_made_safe(runs):
    assert not UNSAFE.search("".join(render(runs.of("hostile"), width=80)))
