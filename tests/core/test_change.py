from __future__ import annotations

import random

import pytest

from pytest_llmperf.core.change import change


def values(mean, *, n=60, spread=0.05, seed=0):
    rng = random.Random(seed)
    return [mean * rng.lognormvariate(0, spread) for _ in range(n)]


def test_a_large_change_is_seen_with_its_direction():
    found = change(values(1.3), [values(1.0, seed=1)], machine=True)
    assert (found.moved, found.steady, str(found)[0]) == (True, False, "+")


def test_equal_samples_are_steady():
    found = change(values(1.0), [values(1.0, seed=1)], machine=False)
    assert (found.moved, found.steady) == (False, True)


def test_noise_is_neither_moved_nor_steady():
    found = change(values(1.3, spread=1.0), [values(1.0, spread=1.0, seed=1)], machine=True)
    assert (found.moved, found.steady) == (False, False)


def test_a_change_of_four_per_cent_is_not_worth_a_word_however_sure_it_is():
    assert not change([1.04] * 60, [[1.0] * 60], machine=False).moved


def test_few_values_say_nothing():
    assert change([1.0] * 14, [[1.0] * 60], machine=True) is None


def test_a_quantity_that_was_not_known_before_says_nothing():
    assert change([1.0] * 60, [[]], machine=True) is None


def test_runs_that_differ_among_themselves_hide_a_change_of_their_size():
    """Twenty per cent between runs of the same code: a run that is twenty per cent above proves nothing."""
    runs = [[mean] * 60 for mean in (0.8, 1.0, 1.2)]
    assert not change([1.2] * 60, runs, machine=True).moved


def test_a_single_stored_run_is_given_a_run_effect_where_the_machine_matters():
    assert change([1.1] * 60, [[1.0] * 60], machine=False).moved
    assert not change([1.1] * 60, [[1.0] * 60], machine=True).moved


def test_neighbours_that_resemble_each_other_are_not_taken_for_independent():
    """A drift inside the run: sixty values, and about one piece of information."""
    drifting = [1.0 + 0.02 * index for index in range(60)]
    assert not change(drifting, [[1.4] * 60], machine=False).moved


def test_what_was_not_there_before_is_called_new():
    assert str(change([1.0] * 60, [[0.0] * 60], machine=True)) == "new"


@pytest.mark.parametrize("seed", range(5))
def test_the_percentage_is_of_the_mean_before(seed):
    now, before = values(1.3, seed=seed), values(1.0, seed=seed)
    assert str(change(now, [before], machine=True)) == "+30 %"
