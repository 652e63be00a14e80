from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmperf.core import gate
from pytest_llmperf.core.decision import ALPHA
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.permutation import p_values
from pytest_llmperf.core.plain_rule import decide_plain, plain_alarms

LOOKS = gate.looks(30, 480)


def times(n, *, sigma=0.1, factor=1.0, seed=0):
    return np.exp(np.random.default_rng(seed).normal(0, sigma, n)) * factor * 0.1


BASE = [times(200, seed=100)]


def wandering(n, seed):
    """Times of a machine that is slow for a while and fast for a while."""
    rows = np.random.default_rng(seed).normal(0, 0.1, n)
    for i in range(1, n):
        rows[i] += 0.95 * rows[i - 1]
    return np.exp(rows) * 0.1


def test_equal_code_passes_and_the_numbers_say_of_what():
    decision = gate.decide(times(60), BASE, look=1, looks=LOOKS)
    assert (decision.outcome, decision.final) == (Outcome.PASSED, True)
    assert (decision.n, decision.m) == (60, 200)
    assert decision.observed == pytest.approx(np.quantile(times(60), 0.95))
    assert decision.baseline == pytest.approx(np.quantile(BASE[0], 0.95))
    assert decision.ratio == pytest.approx(decision.observed / decision.baseline)
    assert decision.low < decision.ratio < decision.high
    assert (decision.mde, decision.more) == (None, None)


def test_code_that_takes_half_as_long_again_has_regressed():
    decision = gate.decide(times(30, factor=1.5), BASE, looks=LOOKS)
    assert (decision.outcome, decision.final) == (Outcome.REGRESSED, True)
    assert decision.p_worse < 1e-5
    assert decision.p_beyond < 0.1 < decision.p_fine
    assert decision.low > 1.1


@pytest.mark.parametrize(("look", "share"), [(0, 30 / 930), (2, 120 / 930), (4, 480 / 930)])
def test_each_look_spends_alpha_by_its_requests(look, share):
    now = times(LOOKS[look], factor=1.4, sigma=0.3)
    p_worse = gate.decide(now, BASE, look=look, looks=LOOKS).p_worse
    enough, short = (
        gate.decide(now, BASE, look=look, looks=LOOKS, alpha=p_worse / share * times)
        for times in (1.01, 0.99)
    )
    assert enough.outcome is Outcome.REGRESSED
    assert short.outcome is not Outcome.REGRESSED


def test_code_that_takes_two_thirds_has_improved():
    decision = gate.decide(times(30, factor=0.66), BASE, looks=LOOKS)
    assert (decision.outcome, decision.final) == (Outcome.IMPROVED, True)


def test_a_small_regression_within_the_limit_is_none():
    outcomes = {gate.decide(times(480, factor=1.05, seed=seed), BASE).outcome for seed in range(5)}
    assert outcomes <= {Outcome.PASSED, Outcome.INCONCLUSIVE}


def test_a_wider_limit_lets_the_same_change_pass():
    now = times(120, factor=1.3)
    assert gate.decide(now, BASE, max_regression=0.1).outcome is Outcome.REGRESSED
    assert gate.decide(now, BASE, max_regression=0.5).outcome is Outcome.PASSED


def test_a_change_past_the_limit_without_proof_is_unproven_and_says_what_would_settle_it():
    base = [times(200, sigma=0.3, seed=1)]
    decision = gate.decide(times(30, sigma=0.3, factor=1.35), base, looks=LOOKS, run_effect=0.0)
    assert (decision.outcome, decision.final) == (Outcome.UNPROVEN, False)
    assert decision.ratio > 1.1
    assert decision.mde > 0.3
    assert decision.more > 0


def test_so_few_that_nothing_could_be_proven_are_not_said_to_see_something():
    base = [times(12, seed=1)]
    decision = gate.decide(times(12, factor=11), base)
    assert (decision.outcome, decision.mde) == (Outcome.UNPROVEN, math.inf)
    assert decision.more is None  # of the baseline there are too few
    pairs = gate.decide(times(12, factor=11), base, interleaved=True)
    assert (pairs.outcome, pairs.mde) == (Outcome.UNPROVEN, math.inf)
    assert pairs.more > 0
    assert gate.decide([0.1], [[0.0]]).outcome is Outcome.UNPROVEN  # infinitely more


@pytest.mark.parametrize("n", [40, 60])  # the normal law promises more of the first
def test_what_is_said_to_show_is_proven_when_it_comes(n):
    base = [times(15, seed=0)]
    seen = gate.decide(times(n, seed=10), base)
    assert seen.outcome is Outcome.INCONCLUSIVE
    now = times(n, seed=10, factor=(1 + seen.mde) / seen.ratio)
    assert gate.decide(now, base).outcome is Outcome.REGRESSED


def test_passed_is_never_printed_beside_a_ratio_past_the_limit():
    for seed in range(60):
        decision = gate.decide(times(480, factor=1.11, seed=seed), BASE)
        assert not (decision.outcome is Outcome.PASSED and decision.ratio > 1.1)


def test_what_is_undecided_is_final_only_at_the_last_look():
    now, base = times(30, sigma=0.6), [times(200, sigma=0.6, seed=2)]
    first, last, only = (
        gate.decide(now, base, **at) for at in ({"looks": LOOKS}, {"look": 4, "looks": LOOKS}, {})
    )
    assert {first.outcome, last.outcome, only.outcome} == {Outcome.INCONCLUSIVE}
    assert (first.final, last.final, only.final) == (False, True, True)


def test_an_early_look_asks_for_stronger_proof():
    now = times(30, factor=1.35)
    assert gate.decide(now, BASE).outcome is Outcome.REGRESSED
    assert gate.decide(now, BASE, look=0, looks=LOOKS).outcome is Outcome.UNPROVEN


def test_one_stored_run_says_what_it_had_to_assume():
    assert "one stored run: runs are assumed to differ by 3 %" in gate.decide(times(60), BASE).warnings


def test_two_stored_runs_still_assume():
    assert "2 stored runs: runs are assumed to differ by 3 %" in gate.decide(times(60), BASE * 2).warnings


def test_three_stored_runs_speak_for_themselves():
    far_apart = [times(100, factor=factor, seed=5) for factor in (0.8, 1.0, 1.3)]
    close = [times(100, factor=factor, seed=5) for factor in (1.0, 1.0, 1.0)]
    now = times(480, factor=1.45, seed=6)
    assert gate.decide(now, close).outcome is Outcome.REGRESSED
    assert gate.decide(now, far_apart).outcome is not Outcome.REGRESSED
    assert gate.decide(now, close).warnings == ()


def test_a_known_run_effect_is_used_instead_of_an_assumed_one():
    now = times(480, factor=1.3, seed=7)
    assert gate.decide(now, BASE, run_effect=0.0).outcome is Outcome.REGRESSED
    assert gate.decide(now, BASE, run_effect=0.15).outcome is Outcome.UNPROVEN
    assert gate.decide(now, BASE, run_effect=0.0).warnings == ()


def test_a_noisy_machine_is_told_at_once_that_a_stored_baseline_will_not_do():
    decision = gate.decide(wandering(30, 1), [wandering(200, 2)], looks=LOOKS)
    assert decision.final
    assert decision.outcome in {Outcome.INCONCLUSIVE, Outcome.UNPROVEN}
    assert any("compare with --llm-ab" in warning for warning in decision.warnings)
    assert any("the machine was uneven" in warning for warning in decision.warnings)


def test_a_machine_that_was_busy_for_a_while_proves_no_regression():
    outcomes = []
    for seed in range(40):
        rng, now = np.random.default_rng(seed), times(240, seed=seed)
        slow = 60 + np.flatnonzero(rng.random(120) < 0.5)  # every other request of the middle half
        now[slow] *= np.exp(rng.exponential(0.5, slow.size))
        outcomes.append(gate.decide(now, BASE, look=3, looks=LOOKS).outcome)
    assert outcomes.count(Outcome.REGRESSED) <= 1


def test_requests_that_are_slow_now_and_then_throughout_the_run_are_a_regression():
    now = times(240)
    now[np.random.default_rng(1).random(240) < 0.2] *= 3
    assert gate.decide(now, BASE, look=3, looks=LOOKS).outcome is Outcome.REGRESSED


def test_fewer_than_twenty_samples_compare_p50_and_never_pass():
    decision = gate.decide(times(15), BASE)
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert decision.observed == pytest.approx(np.median(times(15)))
    assert decision.warnings[0] == "only 15 samples, and p95 takes 20: p50 was compared instead"
    assert gate.decide(times(15, factor=0.5), BASE).outcome is Outcome.INCONCLUSIVE


def test_fewer_than_twenty_samples_can_still_prove_harm():
    assert gate.decide(times(15, factor=2), BASE).outcome is Outcome.REGRESSED


def test_a_baseline_of_few_samples_is_few_too():
    assert "only 12 samples" in gate.decide(times(100), [times(12)]).warnings[0]


def test_drift_and_modes_are_mentioned():
    drifting = times(120) * np.linspace(0.8, 1.2, 120)
    assert any("during the run" in warning for warning in gate.decide(drifting, BASE).warnings)
    split = np.where(np.arange(240) % 16 == 0, 3, 1) * times(240)
    assert any("gap between two groups" in warning for warning in gate.decide(split, BASE).warnings)


def test_interleaved_arms_cancel_a_drift_that_hides_the_change():
    drift = np.exp(np.linspace(0, 1, 240))
    a, b = times(240, factor=1.2, seed=8) * drift, times(240, seed=9) * drift
    apart = gate.decide(a, [b])
    together = gate.decide(a, [b], interleaved=True)
    assert apart.outcome is not Outcome.REGRESSED
    assert together.outcome is Outcome.REGRESSED
    assert not any("stored run" in warning for warning in together.warnings)


def test_interleaved_arms_of_different_length_are_compared_without_pairs():
    decision = gate.decide(times(120, factor=1.5), [times(119, seed=10)], interleaved=True)
    assert decision.outcome is Outcome.REGRESSED


def test_interleaved_arms_of_different_length_share_the_noise_that_makes_requests_depend_on_each_other():
    a, b = wandering(240, 1), wandering(239, 2)
    decision = gate.decide(a, [b], interleaved=True)
    x, y = (np.log(values)[None, :] for values in (a, b))
    assert decision.p_worse == pytest.approx(float(p_values(x, y, q=0.95)[0]))


def test_interleaved_arms_say_how_much_they_could_see():
    decision = gate.decide(
        times(30, sigma=0.3), [times(30, sigma=0.3, seed=11)], interleaved=True, looks=LOOKS
    )
    assert decision.outcome in {Outcome.INCONCLUSIVE, Outcome.UNPROVEN}
    assert decision.mde > 0.2
    few = gate.decide([1.0, 2.0], [[1.0, 2.0]], interleaved=True)
    assert few.mde > 0


def test_times_of_zero_are_as_long_as_the_clock_can_see():
    decision = gate.decide([0.0] * 60, [[0.0] * 60])
    assert (decision.ratio, decision.outcome) == (1.0, Outcome.PASSED)
    assert gate.decide([1.0] * 60, [[0.0] * 60]).outcome is Outcome.REGRESSED
    assert gate.decide([0.0] * 60, [[1.0] * 60]).outcome is Outcome.IMPROVED


def test_a_ratio_that_has_no_logarithm_gives_no_number_of_samples():
    mostly_zero = [0.0] * 25 + [1.0] * 5
    assert gate.decide([1.0] * 3, [mostly_zero]).more is None


@pytest.mark.parametrize(
    ("current", "runs", "options", "words"),
    [
        ([], [[1.0]], {}, "current: no values"),
        ([math.nan], [[1.0]], {}, "current: value 0 is NaN"),
        ([1.0], [[1.0], [1.0, -2.0]], {}, "stored run 2: value 1 is negative"),
        ([1.0], [[math.inf]], {}, "stored run 1: value 0 is infinite"),
        ([1.0], [], {}, "runs: no stored run"),
        ([1.0], [[1.0]], {"max_regression": 0.0}, "max_regression"),
        ([1.0], [[1.0]], {"max_regression": math.inf}, "max_regression"),
        ([1.0], [[1.0]], {"quantile": 1.0}, "quantile"),
    ],
)
def test_what_cannot_be_judged_is_named(current, runs, options, words):
    with pytest.raises(ValueError, match=words):
        gate.decide(current, runs, **options)


def test_the_plain_rule_is_the_observed_ratio_and_nothing_else():
    slower = decide_plain(times(30, sigma=0.6, factor=1.2), [times(200, sigma=0.6, seed=1)])
    assert (slower.outcome is Outcome.REGRESSED) == (slower.ratio > 1.1)
    same = decide_plain([1.0] * 5, [[1.0] * 5])
    assert (same.outcome, same.final, same.mde, same.more) == (Outcome.PASSED, True, None, None)
    assert decide_plain([1.0] * 4 + [1.2], [[1.0] * 5]).ratio == pytest.approx(1.16)
    assert decide_plain([1.0] * 4 + [1.2], [[1.0] * 5]).outcome is Outcome.REGRESSED
    assert decide_plain([1.0] * 4 + [1.2], [[1.0] * 5], max_regression=0.2).outcome is Outcome.PASSED


def test_the_plain_rule_is_told_how_often_it_fails_unchanged_code():
    runs = [[1.0] * 5, [1.05] * 5, [1.3] * 5]
    assert plain_alarms(runs) == pytest.approx(2 / 6)
    assert plain_alarms(runs, max_regression=0.5) == 0
    assert plain_alarms(runs[:1]) is None


def test_a_baseline_tells_beforehand_what_it_will_be_able_to_see():
    seen = gate.sight(BASE, looks=LOOKS)
    assert 0.15 < seen < 0.35
    assert (
        gate.sight(BASE, looks=LOOKS, run_effect=0.0) < seen < gate.sight(BASE, looks=LOOKS, run_effect=0.1)
    )
    caught = [
        gate.decide(times(480, factor=1 + seen, seed=seed), BASE, look=4, looks=LOOKS).outcome
        for seed in range(20)
    ]
    assert caught.count(Outcome.REGRESSED) >= 16
    with pytest.raises(ValueError, match="no stored run"):
        gate.sight([], looks=LOOKS)


@pytest.mark.parametrize("n", [15, 30, 120])
@pytest.mark.parametrize("look", [0, 2])
def test_many_gates_at_once_decide_as_one_by_one(n, look):
    rng = np.random.default_rng(n)
    factors = np.repeat([0.6, 0.9, 1.0, 1.15, 1.5, 2.0], 4)[:, None]
    now = np.exp(rng.normal(0, 0.2, (24, n))) * factors
    runs = [np.exp(rng.normal(0, 0.2, (24, 60))) for _ in range(2)]
    one_by_one = [
        gate.decide(now[i], [run[i] for run in runs], look=look, looks=LOOKS).outcome for i in range(24)
    ]
    assert gate.decide_many(now, runs, look=look, looks=LOOKS) == one_by_one
    assert len(set(one_by_one)) >= 3


def test_many_gates_at_once_pass_what_is_proven_slower_within_the_limit():
    now, runs = [times(480, factor=1.05, sigma=0.05)], [times(1000, sigma=0.05, seed=1)]
    one = gate.decide(now[0], runs, run_effect=0.0)
    assert (one.outcome, one.p_worse < ALPHA) == (Outcome.PASSED, True)
    assert gate.decide_many(np.array(now), [np.array(runs)], run_effect=0.0) == [Outcome.PASSED]


def test_many_gates_use_the_run_effect_they_are_given():
    now, runs = np.tile(times(480, factor=1.3), (3, 1)), [np.tile(BASE[0], (3, 1))]
    assert gate.decide_many(now, runs, run_effect=0.0) == [Outcome.REGRESSED] * 3
    assert gate.decide_many(now, runs, run_effect=0.2) == [Outcome.UNPROVEN] * 3


series = st.lists(st.floats(0.01, 10), min_size=20, max_size=60)


@settings(max_examples=40, deadline=None)
@given(series, series, st.floats(0.01, 100), st.booleans())
def test_the_unit_of_time_does_not_matter(current, base, unit, interleaved):
    one = gate.decide(current, [base], interleaved=interleaved)
    other = gate.decide(np.array(current) * unit, [np.array(base) * unit], interleaved=interleaved)
    assert other.p_worse == pytest.approx(one.p_worse, abs=1e-6)
    assert other.ratio == pytest.approx(one.ratio)
    if abs(one.ratio - 1.1) > 1e-9:
        assert one.outcome is other.outcome


@settings(max_examples=40, deadline=None)
@given(series, series, st.booleans())
def test_swapping_current_and_baseline_swaps_regressed_and_improved(current, base, interleaved):
    one = gate.decide(current, [base], interleaved=interleaved)
    other = gate.decide(base, [current], interleaved=interleaved)
    assert (one.outcome is Outcome.REGRESSED) == (other.outcome is Outcome.IMPROVED)
    assert other.low == pytest.approx(1 / one.high, rel=1e-3, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(series, series, st.floats(1.0, 4.0))
def test_what_has_regressed_stays_so_when_it_gets_slower(current, base, factor):
    one = gate.decide(current, [base])
    other = gate.decide(np.array(current) * factor, [base])
    assert other.p_worse <= one.p_worse + 1e-9
    assert other.p_beyond <= one.p_beyond + 1e-9
    assert other.p_fine >= one.p_fine - 1e-9
    if one.outcome is Outcome.REGRESSED:
        assert other.outcome is Outcome.REGRESSED
