"""On what terms a verdict is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """How the comparison with the baseline is decided."""

    PROVEN = "proven"  #: fails only when the samples prove it
    PLAIN = "plain"  #: fails when the point estimate is past the limit
    NONE = "none"  #: no comparison: a baseline is being saved


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a verdict is given."""

    look: int = 0  #: which of *looks* this is, from 0
    looks: tuple[int, ...] = ()  #: samples at every planned look; empty: this is the only one
    rule: Rule = Rule.PROVEN
    run_effect: float | None = None  #: run-to-run noise (log scale) pooled over scenarios, if known
    interleaved: bool = False  #: the history is the other arm of this very run: no run effect


ONE_LOOK = Terms()
