from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_llmperf.core.evidence import Evidence, Reach, z


def samples(seed=1, shift=0.0, n=60, m=80, sigma=0.2):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, sigma, n), rng.normal(0, sigma, m)


def test_z_is_the_normal_quantile_from_above():
    assert z(0.025) == pytest.approx(1.95996, abs=1e-5)


@pytest.mark.parametrize("in_pairs", [False, True])
def test_the_ends_of_the_interval_are_where_the_tests_stop_rejecting(in_pairs):
    x, y = samples(n=80)
    evidence = Evidence(x=x, y=y, q=0.9, in_pairs=in_pairs)
    low, high = evidence.interval()
    assert low < 1 < high
    assert evidence.worse(math.log(low) - 0.01) <= 0.025 <= evidence.worse(math.log(low) + 0.01)
    assert evidence.better(math.log(high) + 0.01) <= 0.025 <= evidence.better(math.log(high) - 0.01)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    inside = [
        low <= 1.2 <= high
        for seed in range(300)
        for low, high in [
            Evidence(**dict(zip("xy", samples(seed, math.log(1.2)), strict=True)), q=0.9).interval()
        ]
    ]
    assert 0.92 <= np.mean(inside) <= 0.995


def test_two_values_give_no_interval():
    assert Evidence(x=np.array([1.0]), y=np.array([0.0]), q=0.5).interval() == (0.0, math.inf)


def test_noise_beyond_chance_widens_the_interval():
    x, y = samples()
    (a, b), (c, d) = (Evidence(x=x, y=y, q=0.9, beyond_chance=s).interval() for s in (0.0, 0.2))
    assert c < a
    assert b < d


def test_swapping_the_arms_swaps_the_questions():
    x, y = samples()
    one, other = Evidence(x=x, y=y, q=0.9, beyond_chance=0.1), Evidence(x=y, y=x, q=0.9, beyond_chance=0.1)
    assert one.worse(0.1) == other.better(-0.1)
    assert one.no_faster() == other.no_slower()


def reach(**changed):
    facts = {
        "n": 100,
        "falling": 0.01,
        "base": 0.0,
        "lasting": 0.0,
        "alpha": 1e-4,
        "looks": (100,),
        "margin": math.log(1.1),
        "twice": math.log(1.2),
    }
    return Reach(**{**facts, **changed})


def test_the_error_falls_with_the_root_of_the_samples_down_to_what_they_cannot_change():
    assert reach().error(400) == pytest.approx(0.05)
    assert reach(base=0.03, lasting=0.01).error(1e12) == pytest.approx(0.2)


def test_the_smallest_regression_seen_is_the_proof_and_the_chance_to_miss_it():
    assert reach().smallest_seen(100) == pytest.approx(math.expm1(0.1 * (z(1e-4) + z(0.05))))
    assert reach(falling=1e-6).smallest_seen(100) == pytest.approx(0.1, abs=0.01)


def test_an_early_look_sees_less_for_it_may_spend_less():
    assert reach(looks=(100, 200)).smallest_seen(100) == pytest.approx(
        math.expm1(0.1 * (z(1e-4 / 3) + z(0.05)))
    )


def test_more_samples_settle_what_only_chance_hides():
    more = reach().more(0.0)
    assert more > 0
    assert more % 10 == 0
    assert reach().error(100 + more) * z(0.05) <= math.log(1.2)
    assert reach().more(math.log(1.5)) > 0


@pytest.mark.parametrize("fixed", [{"lasting": 0.04}, {"base": 0.04}])
def test_no_number_of_samples_overcomes_what_they_do_not_change(fixed):
    assert reach(**fixed).more(0.0) is None


def test_no_number_of_samples_settles_a_ratio_at_the_limit():
    assert reach(base=0.0001).more(math.log(1.1005)) is None


@pytest.mark.parametrize(("lasting", "blind"), [(0.0, False), (0.01, False), (0.04, True)])
def test_a_test_is_blind_when_run_noise_would_not_let_equal_code_pass(lasting, blind):
    assert (reach(lasting=lasting).blind() is not None) == blind


def test_what_a_blind_test_could_still_see_is_large():
    assert reach(lasting=0.04).blind() == pytest.approx(math.expm1(0.2 * (z(1e-4) + z(0.05))))
