"""What the gate says about one scenario."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_llmperf.core.outcome import BROKEN, Outcome


class CheckKind(StrEnum):
    """Against what a value was held."""

    LIMIT = "limit"  #: an absolute promise
    REGRESSION = "regression"  #: the stored baseline


def label_of(metric: str, statistic: str) -> str:
    """As tables and sentences name a quantity: ``p95``, ``ttft p95``, ``json_valid``."""
    if metric == "latency":
        return statistic
    return metric if statistic in {"rate", ""} else f"{metric} {statistic}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison. Values are in *unit*; None where a value does not apply."""

    metric: str
    statistic: str
    kind: CheckKind
    unit: str
    limit: float | None  #: the promise; for a regression the largest ratio allowed
    observed: float | None
    low: float | None = None  #: 95 % interval of *observed*; for a regression of *ratio*
    high: float | None = None
    n: int = 0
    baseline: float | None = None
    ratio: float | None = None
    outcome: Outcome
    reason: str  #: one sentence in plain words
    more: int | None = None  #: how many more samples would likely settle it

    @property
    def label(self) -> str:
        """As `label_of` has it."""
        return label_of(self.metric, self.statistic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The checks of one scenario and what follows from them."""

    outcome: Outcome
    reason: str  #: one sentence
    checks: tuple[Check, ...] = ()
    settled: bool = True  #: False while more samples could decide
    warnings: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that fail a run."""
        return tuple(check for check in self.checks if check.outcome in BROKEN)
