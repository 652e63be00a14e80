from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_llmperf.core import proportion
from pytest_llmperf.core.gate import decide_proportion, looks
from pytest_llmperf.core.outcome import Outcome

LOOKS = looks(30, 480)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 3), (4, 3)])
def test_counts_that_cannot_be_are_refused(successes, trials):
    with pytest.raises(ValueError, match="proportion"):
        proportion.wilson(successes, trials)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (29, 30), (30, 30), (476, 480)])
def test_the_interval_is_wilson_s(successes, trials):
    theirs = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert proportion.wilson(successes, trials) == pytest.approx((theirs.low, theirs.high))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_the_exact_test_is_fisher_s(trials, base_trials, data):
    good, base_good = data.draw(st.integers(0, trials)), data.draw(st.integers(0, base_trials))
    theirs = stats.fisher_exact(
        [[good, trials - good], [base_good, base_trials - base_good]], alternative="less"
    )
    assert proportion.fisher(good, trials, base_good, base_trials) == pytest.approx(theirs.pvalue, abs=1e-9)


def decided(good, bad_base=0, look=0, counts=LOOKS, **options):
    n = counts[look]
    return decide_proportion(good, n, 200 - bad_base, 200, look=look, looks=counts, **options)


def test_a_share_without_failures_passes_at_the_first_look():
    decision = decided(30)
    assert (decision.outcome, decision.final, decision.ratio) == (Outcome.PASSED, True, 1.0)
    assert decision.mde is None


def test_a_share_that_collapses_has_regressed_at_the_first_look():
    decision = decided(18)
    assert (decision.outcome, decision.final) == (Outcome.REGRESSED, True)
    assert decision.high < 1


def test_a_share_that_rises_has_improved():
    assert decide_proportion(120, 120, 100, 200, look=2, looks=LOOKS).outcome is Outcome.IMPROVED


def test_a_small_fall_asks_for_more_samples():
    decision = decided(29)
    assert (decision.outcome, decision.final) == (Outcome.INCONCLUSIVE, False)
    assert decision.mde > 0.05


def test_a_fall_past_the_margin_without_proof_is_unproven():
    decision = decided(27, counts=(30,))
    assert (decision.outcome, decision.final) == (Outcome.UNPROVEN, True)


def test_a_wider_margin_lets_a_larger_fall_pass():
    assert decided(100, look=2, margin=0.05).outcome is Outcome.REGRESSED
    assert decided(100, look=2, margin=0.25).outcome is Outcome.PASSED


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1])
def test_a_margin_outside_its_range_is_refused(margin):
    with pytest.raises(ValueError, match="margin"):
        decided(30, margin=margin)


def test_a_share_of_nothing_has_a_ratio():
    decision = decide_proportion(0, 30, 0, 30)
    assert (decision.ratio, decision.outcome) == (1.0, Outcome.PASSED)


def test_a_current_count_that_cannot_be_is_named():
    with pytest.raises(ValueError, match="current: no trials"):
        decide_proportion(0, 0, 1, 1)
    with pytest.raises(ValueError, match="baseline: 3 successes of 2 trials"):
        decide_proportion(1, 1, 3, 2)


@pytest.mark.parametrize("share", [0.9, 0.98])
def test_an_unchanged_share_is_hardly_ever_called_regressed(share):
    rng = np.random.default_rng(1)
    outcomes = []
    for _ in range(400):
        now, base = rng.random(480) < share, int((rng.random(200) < share).sum())
        for look, n in enumerate(LOOKS):
            decision = decide_proportion(int(now[:n].sum()), n, base, 200, look=look, looks=LOOKS)
            if decision.final:
                break
        outcomes.append(decision.outcome)
    assert outcomes.count(Outcome.REGRESSED) == 0
    assert outcomes.count(Outcome.PASSED) >= 380


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 100), st.data())
def test_swapping_the_arms_swaps_regressed_and_improved(trials, base_trials, data):
    good, base_good = data.draw(st.integers(0, trials)), data.draw(st.integers(0, base_trials))
    one = decide_proportion(good, trials, base_good, base_trials)
    other = decide_proportion(base_good, base_trials, good, trials)
    assert (one.outcome is Outcome.REGRESSED) == (other.outcome is Outcome.IMPROVED)


def test_a_record_without_a_failure_passes_however_short():
    assert decide_proportion(20, 20, 200, 200).outcome is Outcome.PASSED
    assert decide_proportion(19, 20, 200, 200).outcome is not Outcome.PASSED
