"""The dialects by name. To add one: a file and a line here."""

from __future__ import annotations

import pkgutil

from pytest_llmperf.wire.dialect import Dialect

DIALECTS = {
    "openai": "pytest_llmperf.wire.openai:OpenAI",
    "ollama": "pytest_llmperf.wire.ollama:Ollama",
}


def dialect(kind: str) -> Dialect:
    """A new dialect by its name in ``DIALECTS``. Raises KeyError."""
    made: Dialect = pkgutil.resolve_name(DIALECTS[kind])()
    return made
