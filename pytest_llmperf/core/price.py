"""What a request costs."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmperf.core.exchange import Exchange

PER_MILLION = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Prices of one model in USD per million tokens."""

    input_per_million_usd: float = 0.0
    output_per_million_usd: float = 0.0
    cached_input_per_million_usd: float | None = None  #: None: cached tokens cost as much as others

    def of(self, exchange: Exchange) -> float | None:
        """USD for one request; None when its tokens are not known."""
        tokens = exchange.tokens
        if tokens is None or tokens.input is None or tokens.output is None:
            return None
        cached = tokens.cached or 0
        if self.cached_input_per_million_usd is None:
            cached_price = self.input_per_million_usd
        else:
            cached_price = self.cached_input_per_million_usd
        return PER_MILLION * (
            (tokens.input - cached) * self.input_per_million_usd
            + cached * cached_price
            + tokens.output * self.output_per_million_usd
        )
