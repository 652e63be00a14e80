from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.quantity import show, show_apart, show_range, show_ratio, show_ratios_apart


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.2124, "s", "212 ms"),
        (0.02124, "s", "21.2 ms"),
        (0.002124, "s", "2.12 ms"),
        (2.124, "s", "2.12 s"),
        (1.5, "s", "1.50 s"),
        (1.0, "s", "1 s"),
        (0.99951, "s", "1 s"),
        (0.9994, "s", "999 ms"),
        (75.31, "s", "75.3 s"),
        (3725.4, "s", "3725 s"),
        (4.2e-7, "s", "420 ns"),
        (1.5e-5, "s", "15 µs"),
        (5e-10, "s", "0.50 ns"),
        (0.0, "s", "0 s"),
        (-0.0124, "s", "-12.4 ms"),
        (0.983, "", "98.3 %"),
        (1.0, "", "100 %"),
        (0.95, "", "95 %"),
        (0.0, "", "0 %"),
        (0.0005, "", "0.05 %"),
        (0.000042, "", "0.0042 %"),
        (0.9996, "", "99.96 %"),
        (0.99999, "", "99.999 %"),
        (12.0, "tokens", "12 tokens"),
        (128.5, "tokens", "128 tokens"),
        (51.25, "1/s", "51.2/s"),
        (0.5, "1/s", "0.50/s"),
        (1234.5, "1/s", "1234/s"),
        (0.000012, "USD", "$0.000012"),
        (0.25, "USD", "$0.25"),
        (1234.5, "USD", "$1,234.50"),
        (0.0, "USD", "$0.00"),
        (None, "s", "-"),
        (math.nan, "s", "-"),
        (math.inf, "s", "∞"),
    ],
)
def test_a_value_is_shown_as_people_read_it(value, unit, text):
    assert show(value, unit) == text


@given(st.floats(1e-9, 1e5))
def test_a_shown_time_is_within_a_hundredth_of_the_value(seconds):
    number, unit = show(seconds, "s").split()
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert float(number) * scale == pytest.approx(seconds, rel=0.0051)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_only_all_of_them_is_100_percent(failures, successes):
    assert show(successes / (successes + failures), "") != "100 %"


@given(st.floats(1e-12, 1e9), st.sampled_from(["s", "", "tokens", "1/s", "USD"]))
def test_nothing_is_shown_in_exponents(value, unit):
    assert not re.search(r"[0-9]e[+-]?[0-9]", show(value, unit))


def test_two_values_that_differ_are_shown_apart():
    assert show_apart(0.1503, 0.150, "s") == ("150.3 ms", "150 ms")


def test_two_values_that_differ_plainly_keep_three_digits():
    assert show_apart(0.2124, 0.150, "s") == ("212 ms", "150 ms")


def test_equal_values_are_shown_alike():
    assert show_apart(0.150, 0.150, "s") == ("150 ms", "150 ms")


def test_values_apart_by_less_than_anybody_would_print_are_shown_alike():
    left, right = show_apart(0.150, 0.150 + 1e-16, "s")
    assert left == right


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.sampled_from(["s", "", "tokens", "1/s", "USD"]))
def test_values_a_thousandth_apart_never_look_the_same(left, right, unit):
    shown = show_apart(left, right, unit)
    assert (shown[0] == shown[1]) <= math.isclose(left, right, rel_tol=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.188, 0.240, "s", "188-240 ms"),
        (0.9, 1.2, "s", "900 ms to 1.20 s"),
        (0.886, 1.0, "", "88.6-100 %"),
        (0.188, math.inf, "s", "from 188 ms up"),
        (1.0, 2.0, "1/s", "1/s to 2/s"),
        (None, 0.2, "s", "- to 200 ms"),
    ],
)
def test_a_range_names_a_shared_unit_once(low, high, unit, text):
    assert show_range(low, high, unit) == text


@pytest.mark.parametrize(("ratio", "text"), [(1.5, "x1.50"), (0.981, "x0.98"), (math.inf, "x∞")])
def test_a_ratio_has_two_decimals(ratio, text):
    assert show_ratio(ratio) == text


def test_a_ratio_just_past_its_limit_shows_that_it_is_past():
    assert show_ratios_apart(1.1004, 1.1) == ("x1.1004", "x1.1000")


def test_equal_ratios_are_shown_alike():
    assert show_ratios_apart(1.1, 1.1) == ("x1.10", "x1.10")


def test_ratios_apart_by_less_than_anybody_would_print_are_shown_alike():
    left, right = show_ratios_apart(1.1, 1.1 + 1e-15)
    assert left == right
