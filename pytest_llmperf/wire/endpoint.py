"""Where below a base URL something is."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

#: what users paste although the base was asked for
_TOO_LONG = re.compile(r"/(chat/completions|completions|api/chat|api/generate)$")
_VERSIONED = re.compile(r"/v\d+[a-z0-9]*(/|$)|/openai(/|$)|/deployments/")


@lru_cache
def openai_url(base_url: str, path: str) -> str:
    """*path* (as in ``/chat/completions``) below *base_url*, which may or may not end in ``/v1``.

    A query (Azure's ``api-version``) is kept, and so is any other version in the path.
    """
    return _join(base_url, path, lambda base: base if _VERSIONED.search(base) else f"{base}/v1")


@lru_cache
def root_url(base_url: str, path: str) -> str:
    """*path* (as in ``/tokenize`` or ``/api/chat``) beside the versioned part of *base_url*."""
    return _join(base_url, path, lambda base: re.sub(r"/(v1|api)$", "", base))


def _join(base_url: str, path: str, root: Callable[[str], str]) -> str:
    parts = urlsplit(base_url)
    base = _TOO_LONG.sub("", parts.path.rstrip("/"))
    return urlunsplit((parts.scheme, parts.netloc, root(base) + path, parts.query, ""))
