from __future__ import annotations

import numpy as np
import pytest

from pytest_llmperf.core import remarks


def test_a_run_that_slows_down_is_mentioned():
    series = np.random.default_rng(1).normal(0, 0.1, 200) + np.linspace(0, 0.3, 200)
    assert "slower during the run" in remarks.drift(series)
    assert "faster during the run" in remarks.drift(series[::-1])


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_run_is_not_mentioned(seed):
    assert remarks.drift(np.random.default_rng(seed).normal(0, 0.1, 200)) is None


def test_a_constant_run_has_no_trend():
    assert remarks.trend(np.ones(30)) == 0


def test_a_machine_that_only_wanders_is_hardly_ever_said_to_drift():
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(200):
        series = rng.normal(0, 0.1, 200)
        for i in range(1, 200):
            series[i] += 0.8 * series[i - 1]
        found += remarks.drift(series) is not None
    assert found <= 6


def test_a_quantile_beside_a_gap_is_mentioned():
    rng = np.random.default_rng(2)
    series = rng.normal(0, 0.1, 200) + np.log(3) * (np.arange(200) % 16 == 0)
    assert "gap between two groups" in remarks.mode_gap(series, 0.95)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("n", [30, 120, 480])
def test_one_group_of_requests_is_hardly_ever_taken_for_two(sigma, n):
    rng = np.random.default_rng(n)
    found = [remarks.mode_gap(rng.normal(0, sigma, n), 0.95) for _ in range(200)]
    assert sum(text is not None for text in found) <= 4


def test_few_values_show_no_gap():
    assert remarks.mode_gap(np.array([0.0, 5.0]), 0.95) is None


def test_a_gap_far_from_the_quantile_does_not_matter():
    rng = np.random.default_rng(3)
    series = rng.normal(0, 0.1, 300) + np.log(3) * (np.arange(300) % 2)
    assert remarks.mode_gap(series, 0.95) is None


def test_a_machine_too_noisy_says_of_what():
    """Two steps are compared apart, and one of them may well be proven."""
    assert "only regressions of p95 above +86 % would be" in remarks.too_noisy(0.86, 0.95)
    assert "of step:login p95 above" in remarks.too_noisy(0.86, 0.95, metric="step:login")
