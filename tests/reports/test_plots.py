from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.reports.plots import earlier, plot_data, ranked, thinned

TIMES = st.lists(st.floats(0, 1e3), max_size=3000)


@given(TIMES)
def test_a_distribution_shows_only_values_that_were_measured(values):
    assert set(ranked(values, 400)) <= set(values)


@given(TIMES.filter(bool))
def test_a_distribution_ends_with_the_largest_value(values):
    assert ranked(values, 400)[-1] == max(values)


@given(TIMES)
def test_a_distribution_never_has_more_than_400_steps(values):
    assert len(ranked(values, 400)) == min(len(values), 400)


def test_every_step_of_a_distribution_is_true():
    values = list(range(1, 1235))
    shown = ranked(values, 400)
    # The share at or below the i-th step is at least i/m, and that of anything smaller is less.
    assert all(
        (value - 1) / len(values) < (index + 1) / len(shown) <= value / len(values)
        for index, value in enumerate(shown)
    )


@given(TIMES)
def test_a_time_line_shows_values_at_their_own_places(values):
    assert all(values[place] == value for place, value in thinned(values))


@given(st.integers(0, 4999), st.integers(0, 4999).map(lambda place: place + 5000))
def test_a_long_time_line_keeps_its_spikes(low, high):
    values = [1.0 + (index % 7) / 100 for index in range(10_000)]
    values[low], values[high] = 0.1, 9.0
    assert {(low, 0.1), (high, 9.0)} <= set(thinned(values))


def test_a_long_time_line_has_at_most_a_thousand_points():
    assert len(thinned([float(index % 97) for index in range(100_000)])) <= 1000


def test_a_short_time_line_is_shown_whole():
    assert thinned([3.0, 1.0, 2.0]) == [(0, 3.0), (1, 1.0), (2, 2.0)]


def test_the_plot_knows_limit_and_percentiles(runs):
    data = plot_data(runs.scenario("passed"))["distributions"]["latency"]
    assert ([mark["label"] for mark in data["marks"]], data["limits"]) == (
        ["p50", "p95", "p99"],
        [{"label": "limit p95", "x": 150.0}],
    )


def test_the_times_to_and_between_tokens_are_drawn_over_time_too(runs):
    labels = [line["label"] for line in plot_data(runs.scenario("passed"))["lines"]]
    assert labels == ["latency", "ttft", "itl", "warm-up"]


def test_the_samples_of_every_stored_run_are_compared_with(runs):
    origin, values = earlier(runs.scenario("passed"), "latency_s")
    assert (origin, len(values)) == ("main@3f2c1a9 and 2 more runs", 600)


def test_the_other_arm_is_compared_with_where_there_is_one(runs):
    import dataclasses

    base = runs.measured("test_chat", n=10, backend="vllm-old")
    scenario = dataclasses.replace(runs.scenario("passed"), base=base)
    assert earlier(scenario, "latency_s") == ("vllm-old", base.series["latency_s"])


def test_a_scenario_without_requests_has_nothing_to_draw(runs):
    assert plot_data(runs.scenario("silent")) == {"distributions": {}, "lines": [], "load": None}


def test_every_kind_of_waiting_has_a_distribution(runs):
    distributions = plot_data(runs.scenario("passed"))["distributions"]
    assert list(distributions) == ["latency", "ttft", "itl"]
    assert distributions["ttft"]["limits"] == []


def test_the_warm_up_stands_before_the_first_request(runs):
    scenario = runs.judged(runs.measured(warmup_latency_s=(0.9, 0.4, 0.2)))
    line = next(line for line in plot_data(scenario)["lines"] if line["label"] == "warm-up")
    assert (line["x"], line["y"]) == ([-2, -1, 0], [900, 400, 200])
