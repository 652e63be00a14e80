"""The promises of the gate, by simulation with a fixed seed; benchmarks/gate_quality.py says it at length."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_llmperf.core import gate
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.permutation import p_values

LOOKS = gate.looks(30, 480)
OPEN = {Outcome.INCONCLUSIVE, Outcome.UNPROVEN}


def final(now, runs, run_effect=0.0, counts=LOOKS):
    """The outcome and the requests spent, for each row, looking as the plugin does."""
    outcomes, spent = [Outcome.INCONCLUSIVE] * len(now), np.zeros(len(now))
    for look, n in enumerate(counts):
        left = [i for i, outcome in enumerate(outcomes) if outcome in OPEN]
        if left:
            rows = [run[left] for run in runs]
            found = gate.decide_many(now[left, :n], rows, look=look, looks=counts, run_effect=run_effect)
            for i, outcome in zip(left, found, strict=True):
                outcomes[i], spent[i] = outcome, n
    return outcomes, spent


def rate(outcomes, outcome=Outcome.REGRESSED):
    return outcomes.count(outcome) / len(outcomes)


def lognormal(rng, trials, n, sigma=0.3):
    return np.exp(rng.normal(0, sigma, (trials, n)))


def heavy(rng, trials, n):
    return np.exp(0.2 * rng.standard_t(3, (trials, n)))


def bimodal(rng, trials, n):
    return np.exp(rng.normal(0, 0.1, (trials, n))) * np.where(rng.random((trials, n)) < 0.2, 2.5, 1)


@pytest.mark.parametrize("shape", [lognormal, heavy, bimodal])
@pytest.mark.parametrize(("n", "m"), [(30, 200), (120, 120)])
def test_a_p_value_of_five_percent_comes_up_five_times_in_a_hundred(shape, n, m):
    rng = np.random.default_rng(1)
    x, y = np.log(shape(rng, 4000, n)), np.log(shape(rng, 4000, m))
    for q in (0.5, 0.95):
        found = p_values(x, y, q=q)
        assert 0.038 <= np.mean(found <= 0.05) <= 0.06
        assert 0.4 <= np.mean(found <= 0.5) <= 0.53  # a p-value that counts ties is never too small


@pytest.mark.parametrize("shape", [lognormal, heavy, bimodal])
def test_unchanged_code_does_not_regress_and_mostly_passes_soon(shape):
    rng = np.random.default_rng(2)
    outcomes, spent = final(shape(rng, 700, 480), [shape(rng, 700, 1000)])
    assert rate(outcomes) <= 0.003
    assert rate(outcomes, Outcome.IMPROVED) <= 0.003
    assert rate(outcomes, Outcome.PASSED) >= 0.9
    assert spent.mean() <= 250


def test_unchanged_lognormal_code_costs_about_a_hundred_requests():
    rng = np.random.default_rng(3)
    _, spent = final(lognormal(rng, 700, 480), [lognormal(rng, 700, 1000)])
    assert 60 <= spent.mean() <= 130


@pytest.mark.parametrize(
    ("sigma", "effect", "low", "high"),
    [
        (0.1, 1.05, 0.0, 0.01),
        (0.1, 1.2, 0.98, 1.0),
        (0.3, 1.05, 0.0, 0.015),
        (0.3, 1.1, 0.02, 0.15),
        (0.3, 1.2, 0.82, 0.95),
        (0.3, 1.3, 0.99, 1.0),
    ],
)
def test_a_true_change_is_called_regressed_as_often_as_the_manual_says(sigma, effect, low, high):
    rng = np.random.default_rng(4)
    outcomes, _ = final(lognormal(rng, 500, 480, sigma) * effect, [lognormal(rng, 500, 1000, sigma)])
    assert low <= rate(outcomes) <= high


def test_code_that_is_slower_by_twice_the_limit_hardly_ever_passes():
    rng = np.random.default_rng(5)
    outcomes, _ = final(lognormal(rng, 1000, 480) * 1.2, [lognormal(rng, 1000, 1000)])
    assert rate(outcomes, Outcome.PASSED) <= 0.05


def test_code_that_is_slower_by_the_limit_exactly_is_rarely_called_beyond_it():
    rng = np.random.default_rng(6)
    outcomes, _ = final(lognormal(rng, 700, 480, 0.1) * 1.1, [lognormal(rng, 700, 1000, 0.1)])
    assert 0.04 <= rate(outcomes) <= 0.2


@pytest.mark.parametrize("noise", [0.03, 0.05, 0.1])
def test_runs_that_differ_are_not_taken_for_regressions(noise):
    rng = np.random.default_rng(7)

    def run(n):
        return lognormal(rng, 600, n) * np.exp(rng.normal(0, noise, (600, 1)))

    now, stored = run(480), [run(200) for _ in range(4)]
    tau = gate.run_effect([[one[i] for one in stored] for i in range(60)], quantile=0.95)
    outcomes, _ = final(now, stored, tau)
    assert rate(outcomes) <= 0.004


def test_correlated_requests_are_not_taken_for_regressions():
    rng = np.random.default_rng(8)

    def correlated(n):
        rows = rng.normal(0, 0.3, (600, n))
        for i in range(1, n):
            rows[:, i] = 0.6 * rows[:, i - 1] + 0.8 * rows[:, i]
        return np.exp(rows)

    outcomes, _ = final(correlated(480), [correlated(1000)])
    assert rate(outcomes) <= 0.004


def test_one_stored_run_of_a_quiet_machine_sees_thirty_percent():
    rng = np.random.default_rng(9)
    now = lognormal(rng, 200, 480, 0.1) * np.exp(rng.normal(0, 0.014, (200, 1)))
    stored = lognormal(rng, 200, 200, 0.1) * np.exp(rng.normal(0, 0.014, (200, 1)))
    assert rate(final(now * 1.3, [stored], None)[0]) >= 0.95
    assert rate(final(now, [stored], None)[0]) == 0


def test_interleaved_arms_see_on_a_noisy_machine_what_they_see_on_a_quiet_one():
    rng = np.random.default_rng(10)
    found = []
    for effect in (1.0, 1.3):
        outcomes = []
        for _ in range(40):
            machine = np.repeat(np.exp(rng.normal(0, 0.02, 240).cumsum()), 2)
            both = (lognormal(rng, 1, 480, 0.15)[0] * machine).reshape(240, 2)
            a, b = rng.permuted(both, axis=1).T
            outcomes.append(gate.decide(a * effect, [b], interleaved=True).outcome)
        found.append(rate(outcomes))
    assert found[0] == 0
    assert found[1] >= 0.95
