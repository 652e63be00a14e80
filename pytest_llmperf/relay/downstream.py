"""The client's side of a relay: requests in, answers out, one after another on each connection."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from pytest_llmperf.relay.forwarding import Forwarding
from pytest_llmperf.relay.watch import RelayedRequest

if TYPE_CHECKING:
    from pytest_llmperf.relay.server import Relay

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024 * 1024
_MAX_WAITING = 16  #: pipelined requests
_DRAIN_S = 1.0
_UPGRADE = re.compile(rb"(?i)\r\nupgrade[ \t]*:")
_REASONS = {400: "Bad Request", 404: "Not Found", 413: "Content Too Large", 431: "Header Fields Too Large"}


class ClientConnection(asyncio.Protocol):
    """One client's connection."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._parser: Any = httptools.HttpRequestParser(self)  # Any: httptools ships no types
        self._head: bytes | None = b""  # what came of the head; None inside a body
        self._began_s = 0.0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._refused = 0
        self._arrived_s = 0.0
        self._waiting: deque[tuple[RelayedRequest, str, str, bool]] = deque()
        self._current: Forwarding | None = None
        self._closing = False
        self._writable = True  # False: the client has yet to read what was written

    # --- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._relay.clients.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._arrived_s = time.perf_counter()
        if self._closing:
            return
        if self._head is not None:
            data = self._whole_head(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refused = self._refused or 400
        if self._refused:
            self._refuse(self._refused, "the relay does not take this request")
        elif self._current is None:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone."""
        at_s = time.perf_counter()
        self._relay.clients.discard(self)
        self._closing = True
        self._waiting.clear()
        current, self._current = self._current, None
        if current is not None:
            current.abandon(at_s)

    def pause_writing(self) -> None:
        """The client reads slowly: take no more from the server than fits, and forward no more requests."""
        self._writable = False
        if self._current is not None:
            self._current.pause(paused=True)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable = True
        if self._current is not None:
            self._current.pause(paused=False)
        else:
            self._next()

    # --- httptools

    def on_message_begin(self) -> None:
        """Nothing of the request before is left."""
        self._began_s = self._began_s or self._arrived_s
        self._target, self._headers, self._body, self._body_bytes = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Everything but the body is known."""
        self._head = None
        for name, value in self._headers:
            match name.lower():
                case b"expect" if value.lower() == b"100-continue":
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                case b"content-length" if value.isdigit() and int(value) > MAX_BODY_BYTES:
                    self._refused = 413

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refused = 413

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._head = b""
        target = self._target.decode("latin-1")
        route = self._relay.route(target)
        request = RelayedRequest(
            method=self._parser.get_method().decode("latin-1"),
            target=target if route is None else route.target,
            tag="" if route is None else route.tag,
            headers=self._headers,
            body=b"".join(self._body),
            began_s=self._began_s,
            arrived_s=self._arrived_s,
        )
        self._began_s = 0.0
        if route is None:
            self._refused = 404
            return
        version = "1.0" if self._parser.get_http_version() == "1.0" else "1.1"
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        self._waiting.append((request, route.upstream, version, keep_alive))
        if len(self._waiting) > _MAX_WAITING:
            self._refused = 400

    # --- the answering side

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""
        self.transport.write(data)

    def finished(self, *, keep: bool) -> None:
        """The answer is complete: on to the next request, or close."""
        self._current = None
        if keep:
            self._next()
        else:
            self._closing = True
            self.transport.close()

    def cut(self, *, reset: bool) -> None:
        """End the connection without ending the answer; with a TCP reset if *reset*."""
        self._current = None
        self._closing = True
        if reset:
            linger = struct.pack("ii", 1, 0)  # no time to linger: the system sends a reset
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.close()

    def _next(self) -> None:
        if not self._waiting or self._closing or not self._writable:
            return
        request, upstream, version, keep_alive = self._waiting.popleft()
        self._current = self._relay.forward(self, request, upstream, version=version, keep_alive=keep_alive)
        self._current.start()

    def _whole_head(self, data: bytes) -> bytes:
        """The head once it is whole, and what follows it; until then nothing."""
        assert self._head is not None
        if not self._head:
            self._began_s = self._arrived_s
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:
            self._refused = 431
        if not end:
            return b""
        # An offer of another protocol, which Java's client makes with every request, is declined by
        # not hearing it; the parser would hand the connection over.
        return _UPGRADE.sub(b"\r\nx-declined-upgrade:", head) + end + rest

    def _refuse(self, status: int, message: str) -> None:
        if status == 404:
            message = "this is a relay of a pytest-llmperf session, and the path is none of its own"
        body = json.dumps({"error": {"message": message, "type": "llmperf_relay", "code": status}}).encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._closing = True
        current, self._current = self._current, None
        if current is not None:
            current.abandon(self._arrived_s)
        self.transport.write(head.encode() + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # what is still coming is read and dropped: closing now would reset the answer away
        asyncio.get_running_loop().call_later(_DRAIN_S, self.transport.close)
