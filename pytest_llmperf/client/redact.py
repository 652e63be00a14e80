"""Keeps secrets out of every text that leaves the clients."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit, urlunsplit

HIDDEN = "***"

_SHORTEST = 4  #: shorter "secrets" (EMPTY-like placeholders, "x") would blank out ordinary words
_PATTERNS = (
    (re.compile(r"(://)[^/@\s]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{4,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\bsk-[\w*-]{6,}"), HIDDEN),
    (
        re.compile(
            r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|api-key)(\"?\s*[:=]\s*\"?)[^\r\n\"]+",
            re.IGNORECASE,
        ),
        rf"\1\2{HIDDEN}",
    ),
    (
        re.compile(
            r"([?&](?:api[_-]?key|key|access_token|token|sig|signature|password)=)[^&\s\"']+", re.IGNORECASE
        ),
        rf"\1{HIDDEN}",
    ),
)


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """*text* without *secrets* and without anything that looks like a key, password or cookie."""
    for secret in sorted(_forms(secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def safe_url(url: str) -> str:
    """*url* for people: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return redact(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def origin(url: str) -> str:
    """Scheme, host and port of *url*, for people."""
    parts = urlsplit(safe_url(url))
    return f"{parts.scheme}://{parts.netloc}"


def secrets_of(url: str, api_key: str | None) -> tuple[str, ...]:
    """What must never be shown of a backend."""
    parts = urlsplit(url)
    found = [api_key, parts.password, unquote(parts.password or "")]
    return tuple({secret for secret in found if secret})


def _forms(secrets: Iterable[str | None]) -> set[str]:
    forms = set()
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            forms |= {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}
    return forms
