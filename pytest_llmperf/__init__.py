"""Performance regression gating for systems built on LLMs, as ordinary pytest tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmperf.version import VERSION as __version__  # noqa: N811 - the name that tools look for

if TYPE_CHECKING:
    from pytest_llmperf.markers import llm_load, llm_slo

__all__ = ["__version__", "llm_load", "llm_slo"]


def __getattr__(name: str) -> object:
    """The markers when they are asked for: the mock server's process imports this package without pytest."""
    if name in {"llm_load", "llm_slo"}:
        from pytest_llmperf import markers  # noqa: PLC0415 - see above

        return getattr(markers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
