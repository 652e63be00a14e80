"""Performance regression gating for systems built on LLMs, as ordinary pytest tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmperf.version import VERSION as __version__  # noqa: N811 - the name that tools look for

if TYPE_CHECKING:
    from pytest_llmperf.markers import llm_slo

__all__ = ["__version__", "llm_slo"]


def __getattr__(name: str) -> object:
    """``llm_slo`` when it is asked for: the mock server's process imports this package without pytest."""
    if name == "llm_slo":
        from pytest_llmperf.markers import llm_slo  # noqa: PLC0415 - see above

        return llm_slo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
