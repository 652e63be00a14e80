"""What a request costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_llmperf.core.exchange import Exchange

PER_MILLION = 1e-6
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Prices of one model in USD: per million tokens, per hour of its hardware, or both, added up."""

    input_per_million_usd: float = 0.0
    output_per_million_usd: float = 0.0
    cached_input_per_million_usd: float | None = None  #: None: cached tokens cost as much as others
    gpu_hour_usd: float = 0.0  #: an hour of all the GPUs together that the model runs on

    def of(self, exchange: Exchange) -> float | None:
        """USD for the tokens of one request; None when they are not known."""
        tokens = exchange.tokens
        if self._free_tokens and self.gpu_hour_usd:
            return 0.0
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

    def at_most(self, exchange: Exchange) -> float | None:
        """USD for one request if it had the hardware to itself; None when its tokens are not known."""
        of_tokens = self.of(exchange)
        return None if of_tokens is None else of_tokens + self.gpu_hour_usd * exchange.latency_s / HOUR_S

    @property
    def _free_tokens(self) -> bool:
        prices = (self.input_per_million_usd, self.output_per_million_usd, self.cached_input_per_million_usd)
        return not any(prices)


def costs(priced: Sequence[tuple[Exchange, Price]]) -> tuple[float, ...]:
    """USD for each request whose cost is known.

    An hour's price is paid for the time during which at least one request was in flight, and shared
    among the requests by how long each was: together they cost what the hardware cost meanwhile.
    """
    gpu_usd, in_flight_s = {}, {}
    for price in {price for _, price in priced}:
        own = [exchange for exchange, its in priced if its == price]
        gpu_usd[price] = price.gpu_hour_usd * union_s((one.due_s, one.done_s) for one in own) / HOUR_S
        in_flight_s[price] = sum(exchange.latency_s for exchange in own)
    found = []
    for exchange, price in priced:
        of_tokens = price.of(exchange)
        share = exchange.latency_s / in_flight_s[price] if in_flight_s[price] else 0.0
        if of_tokens is not None:
            found.append(of_tokens + gpu_usd[price] * share)
    return tuple(found)


def busy_s(due_s: Sequence[float], done_s: Sequence[float], latency_s: Sequence[float]) -> float:
    """`union_s` of requests in columns, without a pair for each; of a failure *latency_s* is NaN."""
    order = sorted(range(len(due_s)), key=due_s.__getitem__)
    return ordered_union_s((due_s[at], done_s[at]) for at in order if not math.isnan(latency_s[at]))


def union_s(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of *spans*, so that overlapping requests count their time once."""
    return ordered_union_s(sorted(spans))


def ordered_union_s(spans: Iterable[tuple[float, float]]) -> float:
    """The same of spans that ascend by their start, taken one by one."""
    total = 0.0
    end = float("-inf")
    for start, stop in spans:
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
