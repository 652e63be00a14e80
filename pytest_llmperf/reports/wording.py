"""Outcomes as people read them."""

from __future__ import annotations

from pytest_llmperf.core.outcome import Outcome


def words(outcome: Outcome) -> str:
    """``no baseline``."""
    return outcome.value.replace("_", " ")
