"""Weighted mixes: whose turn it is."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.load.deck import FEWEST, Deck, counts


def dealt(weights, number, seed=0):
    deck = Deck(weights, Random(seed))
    return [deck.deal() for _ in range(number)]


@pytest.mark.parametrize(
    ("weights", "cards"),
    [
        ((75, 25), [15, 5]),
        ((1,), [20]),
        ((0.5, 0.25, 0.25), [10, 5, 5]),
        ((1, 2), [7, 14]),
        ((40, 1), [40, 1]),
    ],
)
def test_a_deck_holds_every_member_as_often_as_its_weight_says(weights, cards):
    assert counts(weights) == cards


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=6))
def test_any_weights_make_a_deck_of_bounded_size_with_everyone_in_it(weights):
    cards = counts(weights)
    assert min(cards) >= 1
    assert FEWEST <= sum(cards) <= 1000 + len(weights)
    for weight, count in zip(weights, cards, strict=True):
        assert abs(count / sum(cards) - weight / sum(weights)) < 0.01


def test_shares_are_exact_after_every_deck_and_nearly_so_at_any_time():
    turns = dealt((75, 25), 2000)
    assert Counter(turns) == {0: 1500, 1: 500}
    for length in range(1, 2000):
        assert abs(turns[:length].count(1) - length / 4) < 5


def test_the_order_is_random_and_the_same_for_the_same_seed():
    assert dealt((75, 25), 200) == dealt((75, 25), 200) != dealt((75, 25), 200, seed=1)
    # A regular order would never have the rarer one twice in a row.
    turns = dealt((75, 25), 200)
    assert any(one == other == 1 for one, other in pairwise(turns))
