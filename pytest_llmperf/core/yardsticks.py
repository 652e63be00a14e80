"""By what models are compared: weights, published figures, and what is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_llmperf.core.slo import Limit

#: How much each quantity counts in a recommendation, unless slo.yaml says otherwise.
WEIGHTS: Mapping[str, float] = {
    "ttft_p95": 2.0,
    "p95": 2.0,
    "tokens_per_s": 1.0,
    "json_valid": 2.0,
    "pass_rate": 2.0,
    "accuracy": 2.0,
    "cost_usd": 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Published figures of another model, measured by others and elsewhere."""

    name: str
    figures: tuple[Limit, ...]  #: each as the SLO key and value it was written as
    source: str = ""  #: where they were published


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardsticks:
    """``comparison:`` and ``references:`` of slo.yaml."""

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    keep_small: tuple[Limit, ...] = ()  #: a small model that meets all of them is good enough
    references: tuple[Reference, ...] = ()
