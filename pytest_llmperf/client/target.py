"""Where the connections of a client go."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_llmperf.client.trust import trust
from pytest_llmperf.core.backend import Backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One server."""

    host: str
    port: int
    context: ssl.SSLContext | None  #: what checks its certificate; None: no TLS
    connect_s: float  #: until a connection has to be there


def target_of(backend: Backend) -> Target:
    """The server of *backend*."""
    parts = urlsplit(backend.url)
    return Target(
        host=parts.hostname or "",
        port=parts.port or (443 if parts.scheme == "https" else 80),
        context=trust(backend.url) or None,
        connect_s=backend.timeouts.connect_s,
    )
