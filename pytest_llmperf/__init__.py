"""Performance regression gating for systems built on LLMs, as ordinary pytest tests."""

from __future__ import annotations

from pytest_llmperf.markers import llm_slo
from pytest_llmperf.version import VERSION as __version__  # noqa: N811 - the name that tools look for

__all__ = ["__version__", "llm_slo"]
