from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_llmperf.core.gate import Side, decide_limit, decide_limit_proportion, looks

LOOKS = looks(30, 480)


def times(p95, n, seed=0, sigma=0.3):
    """Lognormal times whose true p95 is *p95*."""
    return np.exp(np.random.default_rng(seed).normal(0, sigma, n) - 1.6449 * sigma) * p95


def sequential(values, bound, counts=LOOKS):
    for look, n in enumerate(counts):
        decision = decide_limit(values[:n], bound, quantile=0.95, look=look, looks=counts)
        if decision.final:
            break
    return decision


def sequential_share(good, bound, counts=LOOKS):
    for look, n in enumerate(counts):
        decision = decide_limit_proportion(int(good[:n].sum()), n, bound, look=look, looks=counts)
        if decision.final:
            break
    return decision


@pytest.mark.parametrize("counts", [(30,), LOOKS])
def test_thirty_requests_far_below_the_limit_keep_it_at_the_first_look(counts):
    decision = decide_limit(times(75, 30), 150, quantile=0.95, looks=counts)
    assert (decision.side, decision.final, decision.warnings) == (Side.KEPT, True, ())


@pytest.mark.parametrize("counts", [(30,), LOOKS])
def test_thirty_requests_far_above_the_limit_break_it_at_the_first_look(counts):
    decision = decide_limit(times(300, 30), 150, quantile=0.95, looks=counts)
    assert (decision.side, decision.final, decision.warnings) == (Side.BROKEN, True, ())


@pytest.mark.parametrize(
    ("beyond", "side"), [(0, Side.KEPT), (1, Side.STRADDLING), (6, Side.STRADDLING), (7, Side.BROKEN)]
)
def test_only_the_number_of_requests_beyond_the_limit_counts(beyond, side):
    values = [1.0] * (30 - beyond) + [3.0] * beyond
    decision = decide_limit(values, 2.0, quantile=0.95, looks=LOOKS)
    assert (decision.side, decision.final) == (side, side is not Side.STRADDLING)


def test_fewer_requests_keep_a_limit_that_is_far_above_them():
    assert decide_limit([1.0, 1.1, 1.2] * 4, 1.5, quantile=0.95, looks=(12, 24)).side is Side.KEPT
    assert decide_limit([1.0, 1.1, 1.2] * 4, 1.21, quantile=0.95, looks=(12, 24)).side is Side.STRADDLING


def test_at_the_last_look_the_point_estimate_decides_and_says_so():
    below = decide_limit([1.0] * 29 + [3.0], 2.0, quantile=0.95, looks=(30,))
    above = decide_limit([1.0] * 27 + [3.0] * 3, 2.0, quantile=0.95, looks=(30,))
    assert (below.side, below.warnings) == (Side.KEPT, ("close to the limit",))
    assert (above.side, above.warnings) == (Side.BROKEN, ("close to the limit",))


def test_without_planned_looks_this_is_the_last():
    assert decide_limit([1.0] * 29 + [3.0], 2.0, quantile=0.95).final


def test_a_p95_of_140_rarely_fails_a_limit_of_150():
    broken = [sequential(times(140, 480, seed), 150).side is Side.BROKEN for seed in range(300)]
    assert np.mean(broken) <= 0.03


def test_a_p95_of_180_rarely_passes_a_limit_of_150():
    kept = [sequential(times(180, 480, seed), 150).side is Side.KEPT for seed in range(300)]
    assert np.mean(kept) <= 0.03


def test_a_limit_met_exactly_is_rarely_broken_before_the_last_look():
    early = [sequential(times(150, 480, seed), 150) for seed in range(500)]
    assert np.mean([one.side is Side.BROKEN and not one.warnings for one in early]) <= 0.02


def test_a_scenario_well_within_its_limit_costs_little():
    spent = [sequential(times(110, 480, seed), 150).n for seed in range(100)]
    assert np.mean(spent) <= 45


def test_the_interval_has_no_upper_end_that_thirty_values_cannot_give():
    decision = decide_limit(times(75, 30), 150, quantile=0.95)
    assert decision.high == math.inf
    assert 0 < decision.low <= decision.observed


@pytest.mark.parametrize("bound", [-1.0, math.nan, math.inf])
def test_a_limit_that_is_no_time_is_refused(bound):
    with pytest.raises(ValueError, match="bound"):
        decide_limit([1.0], bound, quantile=0.95)


def test_a_bad_value_is_named():
    with pytest.raises(ValueError, match="values: value 1 is NaN"):
        decide_limit([1.0, math.nan], 1.0, quantile=0.95)


def test_a_limit_of_zero_is_broken_by_anything():
    assert decide_limit([1.0] * 30, 0.0, quantile=0.95, looks=LOOKS).side is Side.BROKEN
    assert decide_limit([0.0] * 30, 0.0, quantile=0.95, looks=LOOKS).side is Side.KEPT


@settings(deadline=None)
@given(
    st.lists(st.floats(0.01, 10), min_size=1, max_size=80),
    st.floats(0.01, 10),
    st.floats(0.1, 10),
    st.sampled_from([0.5, 0.95]),
)
def test_the_unit_does_not_matter(values, bound, factor, q):
    one = decide_limit(values, bound, quantile=q, looks=LOOKS)
    # A value within rounding of the bound may change sides with the unit.
    if min(abs(value / bound - 1) for value in [*values, one.observed]) > 1e-9:
        other = decide_limit([value * factor for value in values], bound * factor, quantile=q, looks=LOOKS)
        assert one.side is other.side


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=80), st.floats(0.01, 10), st.floats(1.01, 5))
def test_a_limit_that_is_kept_stays_kept_when_it_is_raised(values, bound, factor):
    if decide_limit(values, bound, quantile=0.95, looks=LOOKS).side is Side.KEPT:
        assert decide_limit(values, bound * factor, quantile=0.95, looks=LOOKS).side is Side.KEPT


def test_a_promise_about_every_request_is_broken_by_one():
    decision = decide_limit_proportion(479, 480, 1.0, looks=LOOKS)
    assert (decision.side, decision.final) == (Side.BROKEN, True)


@pytest.mark.parametrize("bound", [0.5, 0.98, 1.0])
def test_without_a_failure_every_share_is_kept_at_the_first_look(bound):
    decision = decide_limit_proportion(30, 30, bound, looks=LOOKS)
    assert (decision.side, decision.final, decision.high) == (Side.KEPT, True, 1.0)


@pytest.mark.parametrize(
    ("successes", "side"), [(29, Side.STRADDLING), (24, Side.STRADDLING), (23, Side.BROKEN), (0, Side.BROKEN)]
)
def test_a_share_is_broken_at_once_only_when_far_below(successes, side):
    assert decide_limit_proportion(successes, 30, 0.95, looks=LOOKS).side is side


@pytest.mark.parametrize("bound", [0.8, 0.9, 0.95, 0.98, 0.99, 0.999])
def test_a_share_met_exactly_is_broken_before_the_last_look_once_in_a_hundred_times_at_most(bound):
    undecided, seen, early = np.ones(1), 0, 0.0  # probability of each number of failures, without simulation
    for look, n in enumerate(LOOKS[:-1]):
        more = np.arange(n - seen + 1)
        undecided = np.convolve(undecided, stats.binom.pmf(more, n - seen, 1 - bound))
        seen = n
        for failures in range(n + 1):
            decision = decide_limit_proportion(n - failures, n, bound, look=look, looks=LOOKS)
            early += undecided[failures] * (decision.side is Side.BROKEN)
            undecided[failures] *= not decision.final
    assert 0 < early <= 0.01


def test_shares_are_decided_as_requests_beyond_a_percentile_are():
    for n, look in zip(LOOKS, range(len(LOOKS)), strict=True):
        for beyond in range(1, n + 1):
            values = [1.0] * (n - beyond) + [3.0] * beyond
            times = decide_limit(values, 2.0, quantile=0.95, look=look, looks=LOOKS)
            shares = decide_limit_proportion(n - beyond, n, 0.95, look=look, looks=LOOKS)
            assert (times.side, times.final) == (shares.side, shares.final) or beyond == 0.05 * n


def test_a_share_is_kept_when_twice_the_failures_are_ruled_out():
    assert decide_limit_proportion(238, 240, 0.98, look=3, looks=LOOKS).side is Side.KEPT


def test_a_share_is_kept_when_its_interval_is_above_the_limit():
    assert decide_limit_proportion(28, 30, 0.5, looks=LOOKS).side is Side.KEPT
    assert decide_limit_proportion(21, 30, 0.5, looks=LOOKS).side is Side.KEPT


def test_a_share_that_straddles_at_the_last_look_is_called_close():
    assert decide_limit_proportion(29, 30, 0.98).warnings == ("close to the limit",)
    assert decide_limit_proportion(29, 30, 0.98).side is Side.BROKEN
    assert decide_limit_proportion(28, 30, 0.92).side is Side.KEPT


def test_a_router_that_is_valid_99_percent_of_the_time_rarely_fails_98():
    rng = np.random.default_rng(1)
    broken = [sequential_share(rng.random(480) < 0.99, 0.98).side is Side.BROKEN for _ in range(500)]
    assert np.mean(broken) <= 0.04


def test_a_router_that_is_valid_90_percent_of_the_time_rarely_passes_98():
    rng = np.random.default_rng(2)
    kept = [sequential_share(rng.random(480) < 0.9, 0.98).side is Side.KEPT for _ in range(500)]
    assert np.mean(kept) <= 0.08


def test_a_limit_of_nothing_is_kept_by_anything():
    assert decide_limit_proportion(0, 30, 0.0, looks=LOOKS).side is Side.KEPT


@pytest.mark.parametrize("bound", [-0.1, 1.1])
def test_a_share_outside_its_range_is_refused(bound):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        decide_limit_proportion(1, 1, bound)
