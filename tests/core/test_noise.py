from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from pytest_llmperf.core import noise
from pytest_llmperf.core.decision import ASSUMED
from pytest_llmperf.core.permutation import p_values


def autoregressive(rng, trials, n, r):
    rows = np.empty((trials, n))
    rows[:, 0] = rng.normal(0, 1, trials)
    for i in range(1, n):
        rows[:, i] = r * rows[:, i - 1] + rng.normal(0, math.sqrt(1 - r * r), trials)
    return rows


def test_normal_scores_share_a_rank_among_ties():
    rows = np.array([[3.0, 1.0, 3.0, 2.0, 3.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    expected = ndtri((stats.rankdata(rows, axis=1) - 0.5) / 5)
    assert noise.normal_scores(noise.ranked(rows)) == pytest.approx(
        expected - expected.mean(axis=1, keepdims=True)
    )


def test_correlations_are_those_of_the_definition():
    row = np.random.default_rng(1).normal(0, 1, (1, 40))
    scores = noise.normal_scores(noise.ranked(row))[0]
    expected = [scores[lag:] @ scores[:-lag] / (scores @ scores) for lag in range(1, 11)]
    assert noise.correlations(noise.ranked(row))[0] == pytest.approx(expected)


def test_a_constant_series_is_not_correlated():
    assert not noise.correlations(noise.ranked(np.ones((1, 40)))).any()


def test_independent_requests_are_hardly_ever_taken_for_correlated():
    certainty, _ = noise.memory(noise.ranked(np.random.default_rng(2).normal(0, 1, (3000, 100))))
    assert np.mean(certainty > 0) < 0.015


def test_correlated_requests_are_worth_fewer():
    certainty, factor = noise.memory(noise.ranked(autoregressive(np.random.default_rng(3), 200, 400, 0.6)))
    assert certainty.min() == 1
    assert factor.mean() == pytest.approx(4, rel=0.15)  # (1 + 0.6) / (1 - 0.6)


def test_a_few_requests_cannot_show_correlation():
    certainty, factor = noise.memory(noise.ranked(np.arange(15.0)[None, :]))
    assert (certainty.tolist(), factor.tolist()) == ([0], [1])


def interrupted(rng, trials):
    """In the middle half of the run, every other request takes longer, some of them much."""
    rows = rng.normal(0, 0.1, (trials, 240))
    rows[:, 60:180] += (rng.random((trials, 120)) < 0.5) * rng.exponential(0.5, (trials, 120))
    return rows


def test_independent_requests_are_hardly_ever_taken_for_a_burst():
    certainty, _ = noise.bursts(noise.ranked(np.random.default_rng(21).exponential(1, (3000, 100))))
    assert np.mean(certainty > 0) < 0.006


def test_a_burst_is_seen_where_neighbours_differ():
    rows = interrupted(np.random.default_rng(22), 200)
    correlated, bursty = noise.memory(noise.ranked(rows))[0], noise.bursts(noise.ranked(rows))[0]
    assert np.mean(bursty > 0.9) > 0.9
    assert np.mean(correlated > 0.9) < 0.5


@pytest.mark.parametrize("row", [np.ones(40), np.arange(15.0)], ids=["constant", "short"])
def test_what_cannot_show_a_burst_shows_none(row):
    certainty, factor = noise.bursts(noise.ranked(row[None, :]))
    assert (certainty.tolist(), factor.tolist()) == ([0], [1])


def test_a_burst_makes_only_the_quantile_of_its_own_run_less_certain():
    rng = np.random.default_rng(23)
    calm, busy = rng.normal(0, 0.1, (1, 240)), interrupted(rng, 1)
    found, chance = noise.between(busy, [calm], q=0.95, run_effect=0.0), noise.variance(busy, 0.95)
    assert found.current[0] > 3 * chance[0]
    assert found.base[0] == pytest.approx(noise.variance(calm, 0.95)[0])


@pytest.mark.parametrize(("n", "limit"), [(12, 0.03), (40, 0.015)])
def test_a_run_too_short_to_show_correlation_is_taken_to_have_that_of_the_stored_one(n, limit):
    rows = autoregressive(np.random.default_rng(23), 600, 400, 0.8)
    short, stored = rows[:, :n], rows[:, 200:]
    found = noise.between(short, [stored], q=0.5, run_effect=0.0)
    p = p_values(short, stored, q=0.5, noise=np.sqrt(found.beyond_chance))
    assert np.mean(p <= 0.01) < limit  # by what it shows itself: 0.095 and 0.025


def test_a_longer_run_shows_its_own_correlation():
    rng = np.random.default_rng(24)
    calm, stored = rng.normal(0, 1, (1, 200)), autoregressive(rng, 1, 200, 0.8)
    found = noise.between(calm, [stored], q=0.5, run_effect=0.0)
    assert found.current[0] == pytest.approx(noise.variance(calm, 0.5)[0], rel=0.2)


def test_quarters_of_independent_requests_wander_little():
    rng = np.random.default_rng(4)
    assert noise.wander(rng.normal(0, 1, (500, 200))).mean() < 0.015


def test_a_step_in_the_middle_of_a_run_is_wandering():
    rows = np.random.default_rng(5).normal(0, 0.1, (1, 80)) + np.repeat([0.0, 1.0], 40)
    assert noise.wander(rows)[0] == pytest.approx(1 / 3, rel=0.1)  # variance of 0, 0, 1, 1


def test_quarters_need_four_values_each():
    assert noise.wander(np.arange(15.0)[None, :])[0] == 0


def test_more_stored_runs_lessen_the_run_effect_of_the_baseline_only():
    rows = np.random.default_rng(6).normal(0, 0.1, (1, 50))
    one, three = (noise.between(rows, [rows] * runs, q=0.95, run_effect=0.1) for runs in (1, 3))
    assert one.lasting[0] == pytest.approx(0.02)
    assert three.lasting[0] == pytest.approx(0.01 * (1 + 1 / 3))


def test_independent_requests_add_nothing_to_the_run_effect():
    rows = np.random.default_rng(7).normal(0, 0.1, (1, 50))
    found = noise.between(rows, [rows], q=0.95, run_effect=None)
    assert found.beyond_chance[0] == pytest.approx(2 * ASSUMED**2)


def test_requests_that_slow_down_together_widen_an_unknown_run_effect():
    rows = 0.3 * autoregressive(np.random.default_rng(8), 1, 200, 0.95)
    unknown, known = (noise.between(rows, [rows], q=0.95, run_effect=tau) for tau in (None, ASSUMED))
    assert unknown.lasting[0] > 10 * known.lasting[0]
    assert known.beyond_chance[0] > known.lasting[0]


def test_a_burst_widens_an_unknown_run_effect():
    rows = interrupted(np.random.default_rng(22), 200)
    correlated, bursty = noise.memory(noise.ranked(rows))[0], noise.bursts(noise.ranked(rows))[0]
    rows = rows[(correlated == 0) & (bursty == 1)]
    found = noise.between(rows, [rows[::-1]], q=0.95, run_effect=None)
    assert len(rows) > 10
    assert (found.lasting > 2 * (2 * ASSUMED**2)).mean() > 0.9


def runs(rng, tau, scenarios=40, count=4, n=150):
    return [
        [np.exp(rng.normal(0, 0.1, n) + rng.normal(0, tau)) for _ in range(count)] for _ in range(scenarios)
    ]


@pytest.mark.parametrize(("tau", "low", "high"), [(0.0, 0.0, 0.012), (0.05, 0.04, 0.06), (0.15, 0.12, 0.18)])
def test_the_run_effect_is_found_over_many_scenarios(tau, low, high):
    found = noise.run_effect(runs(np.random.default_rng(9), tau), quantile=0.95)
    assert low <= found <= high


def test_chance_inside_the_runs_is_not_taken_for_a_run_effect():
    rng = np.random.default_rng(10)
    noisy = [[np.exp(rng.normal(0, 0.6, 60)) for _ in range(3)] for _ in range(60)]
    assert noise.run_effect(noisy, quantile=0.95) < 0.05


def test_three_runs_that_happen_to_agree_are_not_silence():
    same = [1.0, 1.1, 0.9, 1.2] * 10
    assert noise.run_effect([[same, same, same]], quantile=0.95) == pytest.approx(ASSUMED)


def test_two_runs_do_not_tell_how_much_runs_differ():
    assert noise.run_effect([[[1.0] * 30, [1.2] * 30]], quantile=0.95) is None


def test_a_stored_run_that_cannot_be_one_is_named():
    with pytest.raises(ValueError, match="stored run 2: value 0 is NaN"):
        noise.run_effect([[[1.0], [math.nan], [1.0]]], quantile=0.95)


def test_what_few_runs_show_is_taken_one_standard_error_too_large():
    runs = [[math.exp(level)] * 30 for level in (0.0, 0.1, 0.2)]  # variance 0.01, known to within 0.01
    expected = math.sqrt(0.01 + 0.01 + ASSUMED**2)
    assert noise.run_effect([runs], quantile=0.95) == pytest.approx(expected)
