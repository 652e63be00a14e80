from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_llmperf.core import permutation
from pytest_llmperf.core.quantile import rank

CASES = [(5, 4, 0.5), (4, 7, 0.7), (7, 5, 0.9), (6, 6, 0.95), (3, 8, 0.3), (1, 5, 0.5), (5, 1, 0.5)]


def p_value(x, y, **options):
    return float(permutation.p_values(np.asarray(x)[None, :], np.asarray(y)[None, :], **options)[0])


def enumerated(x, y, q):
    """The share of all deals of the pooled values that come out at least as far apart."""
    n, pooled = len(x), np.concatenate((x, y))

    def difference(a, b):
        return np.sort(a)[rank(len(a), q) - 1] - np.sort(b)[rank(len(b), q) - 1]

    seen, hits, deals = difference(x, y), 0, 0
    for chosen in itertools.combinations(range(pooled.size), n):
        mask = np.zeros(pooled.size, dtype=bool)
        mask[list(chosen)] = True
        hits += difference(pooled[mask], pooled[~mask]) >= seen - 1e-12
        deals += 1
    return hits / deals


@pytest.mark.parametrize(("n", "m", "q"), CASES)
def test_the_p_value_is_that_of_counting_every_deal(n, m, q):
    rng = np.random.default_rng(n * 10 + m)
    for shift in (-0.5, 0.0, 0.5):
        x, y = rng.normal(shift, 1, n), rng.normal(0, 1, m)
        assert p_value(x, y, q=q) == pytest.approx(enumerated(x, y, q), abs=1e-9)


def test_ties_count_as_at_least_as_far():
    rng = np.random.default_rng(3)
    x, y = rng.integers(1, 4, 6).astype(float), rng.integers(1, 4, 5).astype(float)
    assert p_value(x, y, q=0.7) == pytest.approx(enumerated(x, y, 0.7), abs=1e-9)


def test_the_p_value_is_that_of_scipy():
    rng = np.random.default_rng(4)
    x, y = rng.normal(0.4, 1, 8), rng.normal(0, 1, 7)

    def difference(a, b, axis=-1):
        return np.sort(a, axis=axis)[..., rank(8, 0.8) - 1] - np.sort(b, axis=axis)[..., rank(7, 0.8) - 1]

    theirs = stats.permutation_test(
        (x, y), difference, alternative="greater", vectorized=True, n_resamples=np.inf
    )
    assert p_value(x, y, q=0.8) == pytest.approx(float(theirs.pvalue), abs=1e-9)


def test_a_large_sample_agrees_with_random_deals():
    rng = np.random.default_rng(5)
    x, y = rng.normal(0.2, 1, 60), rng.normal(0, 1, 90)
    k, l = rank(60, 0.95), rank(90, 0.95)  # noqa: E741
    deals = rng.permuted(np.tile(np.concatenate((x, y)), (20000, 1)), axis=1)
    apart = np.sort(deals[:, :60], axis=1)[:, k - 1] - np.sort(deals[:, 60:], axis=1)[:, l - 1]
    share = np.mean(apart >= np.sort(x)[k - 1] - np.sort(y)[l - 1] - 1e-12)
    assert p_value(x, y, q=0.95) == pytest.approx(share, abs=4 * 0.5 / np.sqrt(20000))


def test_the_probabilities_of_all_deals_add_up_to_one():
    law = permutation._law(48, 100, rank(48, 0.95), rank(100, 0.95))
    assert law.probability.sum() + law.rest == pytest.approx(1, abs=1e-12)
    assert law.rest < 1e-7


def test_what_is_left_out_never_makes_a_p_value_smaller():
    x, y = np.linspace(10, 11, 480), np.linspace(0, 1, 1000)
    assert p_value(x, y, q=0.95) >= permutation._law(480, 1000, 456, 950).rest > 0


def test_noise_beyond_chance_weakens_the_evidence():
    rng = np.random.default_rng(6)
    x, y = rng.normal(0.5, 0.1, 40), rng.normal(0, 0.1, 40)
    quiet, noisy = (p_value(x, y, q=0.95, noise=noise) for noise in (0.0, 0.2))
    assert quiet < 1e-4
    assert 0.005 < noisy < 0.05


def test_hardly_any_noise_is_no_noise():
    rng = np.random.default_rng(7)
    x, y = rng.normal(0.1, 0.3, 25), rng.normal(0, 0.3, 35)
    assert p_value(x, y, q=0.9, noise=1e-16) == pytest.approx(p_value(x, y, q=0.9), abs=1e-12)


def test_rows_are_judged_one_by_one_however_many_there_are(monkeypatch):
    rng = np.random.default_rng(8)
    x, y = rng.normal(0, 1, (25, 20)), rng.normal(0, 1, (25, 30))
    noise = np.linspace(0, 0.3, 25)
    alone = [p_value(x[i], y[i], q=0.95, noise=noise[i]) for i in range(25)]
    monkeypatch.setattr(permutation, "_CELLS", 1000)
    assert permutation.p_values(x, y, q=0.95, noise=noise) == pytest.approx(alone, abs=1e-12)


samples = st.lists(st.floats(-3, 3), min_size=2, max_size=25)


@settings(deadline=None)
@given(samples, samples, st.sampled_from([0.5, 0.9, 0.95]), st.floats(-3, 3))
def test_moving_both_samples_changes_nothing(x, y, q, by):
    x, y = np.array(x).round(6), np.array(y).round(6)
    assert p_value(x + by, y + by, q=q) == pytest.approx(p_value(x, y, q=q), abs=1e-9)


@settings(deadline=None)
@given(samples, samples, st.sampled_from([0.5, 0.9, 0.95]), st.floats(-2, 2), st.floats(0.001, 2))
def test_the_more_is_allowed_the_weaker_the_evidence(x, y, q, shift, further):
    x, y = np.array(x).round(6), np.array(y).round(6)
    allowed = p_value(x, y, q=q, shift=shift)
    assert p_value(x, y, q=q, shift=shift + further) >= allowed - 1e-9


@settings(deadline=None)
@given(samples, samples, st.sampled_from([0.5, 0.95]), st.floats(0.001, 2))
def test_the_slower_the_current_sample_the_stronger_the_evidence(x, y, q, slower):
    x, y = np.array(x).round(6), np.array(y).round(6)
    assert p_value(x + slower, y, q=q) <= p_value(x, y, q=q) + 1e-9


@settings(deadline=None)
@given(samples, samples, st.sampled_from([0.5, 0.95]))
def test_one_of_the_two_directions_is_always_likely(x, y, q):
    x, y = np.array(x).round(6), np.array(y).round(6)
    assert p_value(x, y, q=q) + p_value(y, x, q=q) >= 1 - 1e-9


@pytest.mark.parametrize(("n", "m", "q"), [(40, 60, 0.5), (300, 200, 0.95), (1, 50, 0.5)])
def test_the_law_is_worked_out_in_parts_and_is_the_same(monkeypatch, n, m, q):
    law = permutation._law.__wrapped__
    whole = law(n, m, rank(n, q), rank(m, q))
    monkeypatch.setattr(permutation, "_LAW_CELLS", 7)
    parts = law(n, m, rank(n, q), rank(m, q))
    assert np.array_equal(parts.x_rank, whole.x_rank)
    assert np.array_equal(parts.y_rank, whole.y_rank)
    assert np.array_equal(parts.probability, whole.probability)
    assert parts.rest == whole.rest
