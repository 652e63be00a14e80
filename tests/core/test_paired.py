from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_llmperf.core import paired
from pytest_llmperf.core.quantile import rank


def enumerated(x, y, q):
    """The share of the 2^n ways to swap pairs that come out at least as far apart."""
    k, n = rank(len(x), q), len(x)
    swaps = np.array(list(itertools.product((False, True), repeat=n)))
    a, b = np.sort(np.where(swaps, y, x), axis=1), np.sort(np.where(swaps, x, y), axis=1)
    seen = np.sort(x)[k - 1] - np.sort(y)[k - 1]
    return float(np.mean(a[:, k - 1] - b[:, k - 1] >= seen - 1e-12))


@pytest.mark.parametrize(("n", "q"), [(1, 0.5), (2, 0.5), (7, 0.5), (9, 0.7), (10, 0.9), (8, 0.95), (9, 0.2)])
@pytest.mark.parametrize("shift", [-0.6, 0.0, 0.6])
def test_the_p_value_is_that_of_counting_every_swap(n, q, shift):
    rng = np.random.default_rng(n)
    x, y = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    assert paired.p_value(x, y, q=q) == pytest.approx(enumerated(x, y, q), abs=1e-9)


def test_ties_within_and_between_pairs_are_counted_too():
    rng = np.random.default_rng(2)
    for _ in range(20):
        x, y = rng.integers(0, 3, 9).astype(float), rng.integers(0, 3, 9).astype(float)
        assert paired.p_value(x, y, q=0.7) == pytest.approx(enumerated(x, y, 0.7), abs=1e-9)


def test_a_drift_of_the_machine_cancels():
    rng = np.random.default_rng(3)
    drift = np.linspace(0, 2, 200)
    x, y = drift + rng.normal(0.1, 0.05, 200), drift + rng.normal(0, 0.05, 200)
    assert paired.no_slower(x, y, q=0.95) < 1e-4


def test_a_slower_tail_alone_is_seen():
    rng = np.random.default_rng(4)
    x, y = rng.normal(0, 0.1, 300), rng.normal(0, 0.1, 300)
    slow = np.where(x > np.quantile(x, 0.85), x + 0.5, x)
    assert paired.no_slower(slow, y, q=0.95) < 1e-4
    assert paired._signed_ranks(slow - y) > 3e-4


def test_the_rank_sum_is_no_bolder_than_the_exact_one():
    rng = np.random.default_rng(5)
    for shift in (0.0, 0.3, 0.8):
        d = rng.normal(shift, 1, 40)
        exact = stats.wilcoxon(d, alternative="greater", method="exact").pvalue
        assert exact * 0.95 <= paired._signed_ranks(d) <= exact * 2 + 0.02


def test_the_rank_sum_is_scipy_s_with_ties_and_its_correction():
    rng = np.random.default_rng(6)
    d = rng.normal(0.3, 1, 60).round(1)
    theirs = stats.wilcoxon(d[d != 0], alternative="greater", correction=True, method="asymptotic").pvalue
    assert paired._signed_ranks(d) == pytest.approx(theirs)


@pytest.mark.parametrize("n", [9, 12])
def test_pairs_that_do_not_differ_prove_nothing(n):
    assert paired._signed_ranks(np.zeros(n)) == 1.0


def test_few_pairs_have_no_rank_sum():
    assert paired._signed_ranks(np.ones(9)) == 1.0
    assert paired._signed_ranks(np.ones(12)) < 0.01


def test_unchanged_arms_are_called_slower_no_more_often_than_promised():
    rng = np.random.default_rng(6)
    found = []
    for _ in range(1500):
        machine = rng.normal(0, 0.3, 40).cumsum() / 3
        a, b = machine + rng.normal(0, 0.2, 40), machine + rng.normal(0, 0.2, 40)
        found.append(paired.no_slower(a, b, q=0.9) <= 0.05)
    assert 0.015 <= np.mean(found) <= 0.06


pairs = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=30)


@settings(deadline=None)
@given(pairs, st.sampled_from([0.5, 0.9, 0.95]), st.floats(-2, 2), st.floats(0.001, 2))
def test_the_more_is_allowed_the_weaker_the_evidence_of_pairs(values, q, shift, further):
    x, y = np.array(values).round(6).T
    allowed = paired.p_value(x, y, q=q, shift=shift)
    assert paired.p_value(x, y, q=q, shift=shift + further) >= allowed - 1e-9


@settings(deadline=None)
@given(pairs, st.sampled_from([0.5, 0.95]))
def test_swapping_the_arms_turns_the_question_around(values, q):
    x, y = np.array(values).round(6).T
    one, other = paired.p_value(x, y, q=q), paired.p_value(y, x, q=q)
    assert one + other >= 1 - 1e-9
    assert 0 <= one <= 1


def counted(high, low, a, b, *, strict):
    """How many pairs are what, looked at one by one."""
    up = high > a if strict else high >= a
    both_up = low > a if strict else low >= a
    low_down = low <= b
    return (
        (both_up).sum(),
        (up & low_down).sum(),
        (up & ~both_up & ~low_down).sum(),
        (~up & ~(high <= b) & low_down).sum(),
        (~low_down).sum(),
    )


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30),
    st.sets(st.integers(0, 10), min_size=1),
    st.integers(1, 4),
    st.booleans(),
)
def test_pairs_are_counted_as_one_by_one(pairs, thresholds, distance, strict):
    x, y = np.array(pairs, dtype=float).T
    high, low = np.maximum(x, y), np.minimum(x, y)
    a = np.array(sorted(thresholds), dtype=float)
    counts = paired._counts(high, low, a, a - distance, strict=strict)
    each = [counted(high, low, at, at - distance, strict=strict) for at in a]
    assert [tuple(row) for row in zip(*counts, strict=True)] == each


@pytest.mark.parametrize("shift", [-0.05, 0.0, 0.05])
def test_the_work_is_done_in_parts_and_the_p_value_is_the_same(monkeypatch, shift):
    rng = np.random.default_rng(8)
    x = rng.normal(0, 0.2, 900)
    y = x + rng.normal(shift, 0.2, 900)
    monkeypatch.setattr(paired, "_FEW", 10**9)  # every number of heads is added up
    monkeypatch.setattr(paired, "_CELLS", 10**9)
    whole = paired.p_value(x, y, q=0.5)
    monkeypatch.setattr(paired, "_FEW", 0)
    monkeypatch.setattr(paired, "_CELLS", 1000)
    assert paired.p_value(x, y, q=0.5) == pytest.approx(whole, rel=1e-12, abs=1e-15)
