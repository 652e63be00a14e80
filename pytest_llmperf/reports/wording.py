"""Outcomes and models as people read them."""

from __future__ import annotations

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome


def words(outcome: Outcome) -> str:
    """``no baseline``."""
    return outcome.value.replace("_", " ")


def asked(about: Measurement) -> str:
    """Backend and model: ``vllm Qwen/Qwen2.5-3B-Instruct``; the mock's own model is called as it is."""
    return " ".join(dict.fromkeys(filter(None, (about.backend, about.model))))
