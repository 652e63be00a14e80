"""One check, with what the gate must know of it besides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_llmperf.core.verdict import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A check, whether more samples could change it, and what to warn of."""

    check: Check
    settled: bool = True
    warnings: tuple[str, ...] = ()
    excusable: bool = False  #: fails for want of samples, because no request or iteration came through


def finite(value: float) -> float | None:
    """An interval that the samples leave open on this side has no bound here."""
    return value if math.isfinite(value) else None
