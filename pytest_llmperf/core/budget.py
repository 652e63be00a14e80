"""Money that may be spent: measuring stops before it is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.price import Price
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.verdict import Verdict


@dataclass
class Budget:
    """What was spent so far, and what the dearest iteration cost: as much is kept back for the next one."""

    limit_usd: float
    name: str = "max_cost_usd"  #: as the user gave it
    spent_usd: float = 0.0
    dearest_usd: float = 0.0  #: iteration, in all its requests

    def share(self, of: int) -> Budget:
        """What one of *of* processes may spend of what is left: together they cannot exceed it."""
        name = f"its share, 1 of {of}, of what was left of {self.name}"
        return Budget(
            limit_usd=max(0.0, self.limit_usd - self.spent_usd) / of, name=name, dearest_usd=self.dearest_usd
        )

    def spend(self, usd: float, *, dearest_usd: float | None = None) -> None:
        """One iteration has cost *usd*, or several, of which the dearest cost *dearest_usd*."""
        self.spent_usd += usd
        self.dearest_usd = max(self.dearest_usd, usd if dearest_usd is None else dearest_usd)

    def refusal(self, iterations: int = 1) -> str | None:
        """Why *iterations* more, all at once, may cost too much; None when they may run."""
        if self.spent_usd + iterations * self.dearest_usd <= self.limit_usd:
            return None
        return (
            f"{self.name} of {show(self.limit_usd, 'USD')} would be exceeded: {show(self.spent_usd, 'USD')} "
            f"spent, and one iteration cost up to {show(self.dearest_usd, 'USD')}"
        )


def cost_at_most(exchanges: Sequence[Exchange], prices: Mapping[str, Price], model: str) -> float:
    """USD for one iteration; a request of unknown cost is taken for as dear as the dearest beside it."""
    if not prices:
        return 0.0
    known: list[float | None] = []
    for exchange in exchanges:
        price = prices.get(exchange.model) or prices.get(model)
        known.append(None if price is None else price.at_most(exchange))
    dearest = max((cost for cost in known if cost is not None), default=0.0)
    return sum(dearest if cost is None else cost for cost in known)


def not_passed(verdict: Verdict, measurement: Measurement) -> Verdict:
    """*verdict*, but never a silent pass where the budget ended the measuring."""
    if not measurement.over_budget or verdict.outcome in BROKEN:
        return verdict
    return replace(
        verdict,
        outcome=Outcome.INCONCLUSIVE,
        reason=f"stopped after {measurement.iterations} iterations: {measurement.stopped}",
        settled=True,
    )
