from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.exchange import Tokens
from pytest_llmperf.core.price import Price

PRICE = Price(input_per_million_usd=0.05, output_per_million_usd=0.10)
COUNTS = st.integers(0, 10**6)


def test_input_and_output_have_their_own_price(request_of):
    assert PRICE.of(request_of(tokens=Tokens(input=1_000_000, output=2_000_000))) == pytest.approx(0.25)


def test_cached_tokens_have_their_own_price_where_there_is_one(request_of):
    price = Price(input_per_million_usd=1.0, cached_input_per_million_usd=0.1)
    request = request_of(tokens=Tokens(input=1_000_000, output=0, cached=400_000))
    assert price.of(request) == pytest.approx(0.6 + 0.04)


def test_cached_tokens_cost_as_much_as_others_where_there_is_none(request_of):
    request = request_of(tokens=Tokens(input=1_000_000, output=0, cached=400_000))
    assert PRICE.of(request) == pytest.approx(0.05)


@pytest.mark.parametrize("tokens", [None, Tokens(input=3), Tokens(output=3)])
def test_a_request_of_unknown_size_has_no_price(request_of, tokens):
    assert PRICE.of(request_of(tokens=tokens)) is None


@given(COUNTS, COUNTS)
def test_no_request_is_cheaper_than_nothing(request_of, used, written):
    cost = PRICE.of(request_of(tokens=Tokens(input=used, output=written)))
    assert cost >= 0
