"""The relay: it listens on loopback and forwards to where a route says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_llmperf.core.loopback import ADDRESS
from pytest_llmperf.relay.downstream import ClientConnection
from pytest_llmperf.relay.forwarding import Forwarding
from pytest_llmperf.relay.upstream import Line, Upstream
from pytest_llmperf.relay.watch import Observer, RelayedRequest

_BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where one request goes."""

    upstream: str  #: the name of the upstream
    target: str  #: path and query there, ``/v1/...`` or beside it
    tag: str = ""  #: for the observer


class Relay:
    """A reverse proxy that changes nothing of the bodies, and tells *observe* of everything that passes."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        route: Callable[[str], Route | None],
        observe: Observer,
        *,
        placeholder: str | None = None,
    ) -> None:
        """*route*: from the target of a request to where it goes, None: nowhere (404).

        *placeholder*: what clients send as their key, in place of the upstream's own.
        """
        self.route = route
        self.clients: set[ClientConnection] = set()
        self._lines = {name: Line(upstream) for name, upstream in upstreams.items()}
        self._observe = observe
        self._placeholder = placeholder
        self._server: asyncio.Server | None = None

    async def open(self, port: int = 0) -> int:
        """Listen on loopback, port 0 takes a free one; which it is. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ClientConnection(self), ADDRESS, port, family=socket.AF_INET, backlog=_BACKLOG
        )
        return int(self._server.sockets[0].getsockname()[1])

    def forward(
        self,
        client: ClientConnection,
        request: RelayedRequest,
        upstream: str,
        *,
        version: str,
        keep_alive: bool,
    ) -> Forwarding:
        """The exchange of *request*, not begun yet."""
        return Forwarding(
            client,
            request,
            self._lines[upstream],
            self._observe(request),
            version=version,
            keep_alive=keep_alive,
            placeholder=self._placeholder,
        )

    def close(self) -> None:
        """Stop listening and close every connection; running exchanges end as cancelled."""
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.transport.abort()
        for line in self._lines.values():
            line.close()
