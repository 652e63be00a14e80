"""Outcomes and models as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome


def words(outcome: Outcome) -> str:
    """``no baseline``."""
    return outcome.value.replace("_", " ")


def counted(outcomes: Iterable[Outcome]) -> str:
    """How many scenarios have each outcome, worst first: ``1 failed, 2 passed``."""
    counts = Counter(outcomes)
    told = [f"{counts[outcome]} {words(outcome)}" for outcome in reversed(Outcome) if counts[outcome]]
    return ", ".join(told) or "no scenario was measured"


def asked(about: Measurement) -> str:
    """Backend and model: ``vllm Qwen/Qwen2.5-3B-Instruct``; the mock's own model is called as it is."""
    return " ".join(dict.fromkeys(filter(None, (about.backend, about.model))))
