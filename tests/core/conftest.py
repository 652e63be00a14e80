"""Requests and iterations with round numbers."""

from __future__ import annotations

import pytest

from pytest_llmperf.core.exchange import Exchange, Tokens
from pytest_llmperf.core.iteration import Iteration


def _request(
    due_s: float = 0.0,
    latency_s: float = 0.1,
    *,
    ttft_s: float | None = 0.05,
    tokens: Tokens | None = Tokens(input=10, output=6),  # noqa: B008 - frozen
    **more,
) -> Exchange:
    first = None if ttft_s is None else due_s + ttft_s
    return Exchange(
        due_s=due_s, sent_s=due_s, first_token_s=first, done_s=due_s + latency_s, tokens=tokens, **more
    )


def _iteration(*exchanges: Exchange, at_s: float = 0.0, took_s: float = 0.2, **more) -> Iteration:
    return Iteration(started_s=at_s, done_s=at_s + took_s, exchanges=exchanges, **more)


@pytest.fixture(scope="session")
def request_of():
    """Makes one Exchange: 100 ms, the first token after 50 ms, 10 tokens in and 6 out."""
    return _request


@pytest.fixture(scope="session")
def iteration_of():
    """Makes one Iteration of the given exchanges."""
    return _iteration
