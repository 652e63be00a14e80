from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmperf.core import quantile


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "baseline: no values"),
        ([1.0, math.nan], "baseline: value 1 is NaN"),
        ([math.inf, 1.0], "baseline: value 0 is infinite"),
        ([1.0, 2.0, -0.1], "baseline: value 2 is negative"),
        ([[1.0], [2.0]], "baseline: expected one series of numbers, got 2 dimensions"),
    ],
)
def test_a_value_that_cannot_be_a_time_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        quantile.checked(values, "baseline")


@pytest.mark.parametrize(
    ("n", "q", "expected"),
    [
        (30, 0.95, 29),
        (20, 0.95, 19),
        (19, 0.95, 19),
        (100, 0.95, 95),
        (1, 0.5, 1),
        (10, 0.01, 1),
        (60, 0.95, 57),
    ],
)
def test_the_nearest_rank_is_the_ceiling_without_rounding_errors(n, q, expected):
    assert quantile.rank(n, q) == expected


@pytest.mark.parametrize("q", [0.0, 1.0, -1.0, 95.0])
def test_a_quantile_outside_its_range_is_refused(q):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        quantile.rank(10, q)


@pytest.mark.parametrize(
    ("q", "expected"), [(0.95, 20), (0.99, 100), (0.999, 1000), (0.5, 2), (0.9, 10), (0.05, 20)]
)
def test_a_percentile_needs_so_many_samples_that_it_is_not_the_extreme(q, expected):
    assert quantile.needed(q) == expected
    assert quantile.rank(expected, q) < expected
    assert q < 0.5 or quantile.rank(expected - 1, q) == expected - 1


def test_a_time_of_zero_counts_as_the_clock_s_resolution():
    assert quantile.logs(np.array([0.0, 1.0])).tolist() == [math.log(1e-9), 0.0]


def test_people_are_shown_the_linear_quantile():
    assert quantile.quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5


def test_the_variance_of_a_quantile_is_that_of_repeated_samples():
    rows = np.random.default_rng(1).normal(0, 1, (4000, 200))
    spread = np.quantile(rows, 0.95, axis=1, method="inverted_cdf").var()
    assert quantile.variance(rows, 0.95).mean() == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize(("n", "q"), [(80, 0.95), (200, 0.95), (30, 0.5), (400, 0.99)])
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(n, q):
    rng = np.random.default_rng(2)
    rows = rng.random((3000, n))  # the q quantile of the uniform distribution is q
    covered = [low <= q <= high for low, high in (quantile.interval(row, q) for row in rows)]
    assert 0.94 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(("n", "bounded"), [(71, False), (72, True)])
def test_an_upper_end_for_p95_takes_72_values(n, bounded):
    _, high = quantile.interval(np.arange(1.0, n + 1), 0.95)
    assert math.isfinite(high) == bounded


def test_a_lower_end_that_so_few_values_cannot_give_is_zero():
    assert quantile.interval(np.array([1.0, 2.0, 3.0]), 0.5)[0] == 0.0


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_interval_holds_the_nearest_rank_quantile(values, q):
    array = np.array(values)
    low, high = quantile.interval(array, q)
    assert low <= np.sort(array)[quantile.rank(array.size, q) - 1] <= high
