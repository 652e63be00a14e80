"""The dialects by name. To add one: a file and a line here."""

from __future__ import annotations

import pkgutil

from pytest_llmperf.wire.dialect import Dialect

DIALECTS = {
    "openai": "pytest_llmperf.wire.openai:OpenAI",
    "ollama": "pytest_llmperf.wire.ollama:Ollama",
}

#: How the path of a request ends that asks a model, and in which dialect it does so.
_ASKING = {
    "/chat/completions": "openai",
    "/completions": "openai",
    "/api/chat": "ollama",
    "/api/generate": "ollama",
}


def dialect(kind: str) -> Dialect:
    """A new dialect by its name in ``DIALECTS``. Raises KeyError."""
    made: Dialect = pkgutil.resolve_name(DIALECTS[kind])()
    return made


def kind_of(target: str) -> str | None:
    """The dialect of a request for *target* (a path, perhaps with a query); None: it asks no model."""
    path = target.partition("?")[0]
    return next((kind for end, kind in _ASKING.items() if path.endswith(end)), None)
