"""HTTP/1.1 as it is received: bytes in, whole requests out, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools

from pytest_llmperf.mock.head import Head, says_json

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
_READ_BYTES = 256 * 1024  # what asyncio reads at a time
_NOT_PLAIN = (b"transfer-encoding", b"expect", b"upgrade")  # what they ask for is not in the head alone


class Receiver:
    """The requests of one connection, parsed by httptools, which calls the ``on_…`` methods."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_go_on",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_keep_alive",
        "_marked",
        "_method",
        "_parser",
        "_plain",
        "_raw_head_bytes",
        "_target",
        "_unread",
        "_version",
        "_whole",
        "idle",
        "refused",
    )

    def __init__(self, go_on: Callable[[], None]) -> None:
        self._go_on = go_on  # called when a client waits to be told to send its body
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._method = self._version = ""
        self._keep_alive = self._plain = True
        self._marked = False
        self._in_head = True
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._raw_head_bytes = 0  # read since the last whole head; bounds a header line without an end
        self._body_bytes = 0
        self._unread = 0  # bytes of a body that the parser has left to us
        self._whole: list[tuple[Head, bytes]] = []
        self.idle = True  #: between two requests
        self.refused = 0  #: the status that ends the connection; 0: nothing is wrong

    def feed(self, data: bytes) -> list[tuple[Head, bytes]]:
        """The requests that *data* makes whole: head and body. It may set *refused*."""
        if self._unread:
            data = self._take_body(data)
        elif self._in_head:
            self._raw_head_bytes += len(data)
        while data:
            rest = b""
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._decline_upgrade(data[upgrade.args[0] :])
            except httptools.HttpParserError:
                self.refused = self.refused or 400
                return []
            data = rest
        if self._raw_head_bytes > MAX_HEAD_BYTES + _READ_BYTES:
            self.refused = 431
        if self._unread or not self._whole:
            return []
        whole, self._whole = self._whole, []
        return whole

    # --- httptools

    def on_message_begin(self) -> None:
        """Nothing of the request before is left."""
        self._target = b""
        self._headers = []
        self._body = []
        self._head_bytes = 0
        self._body_bytes = 0
        self._in_head = True
        self.idle = False

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One header, and trailers after a chunked body too."""
        self._count(len(name) + len(value or b"") + 4)
        if self._in_head:
            self._headers.append((name, value or b""))

    def on_headers_complete(self) -> None:
        """Everything but the body is known."""
        parser = self._parser
        self._raw_head_bytes = 0
        self._in_head = False
        self._method = parser.get_method().decode("ascii", "replace")
        self._version = parser.get_http_version()
        self._keep_alive = parser.should_keep_alive()
        self._plain, self._marked = True, False
        for name, value in self._headers:
            key = name.lower()
            if key == b"content-length":
                if int(value) > MAX_BODY_BYTES:
                    self.refused = 413
            elif key in _NOT_PLAIN:
                self._plain = False
                if key == b"expect" and value.lower() == b"100-continue":
                    self._go_on()
            elif key.startswith(b"x-llmperf-"):
                self._marked = True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self.refused = 413

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._raw_head_bytes = 0
        self._in_head = True
        self.idle = True
        if self.refused:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        head = Head(
            method=self._method,
            target=self._target,
            headers=self._headers,
            keep_alive=self._keep_alive,
            chunked=self._version != "1.0",
            marked=self._marked,
            plain=self._plain,
            size=self._head_bytes,
            body_bytes=len(body),
            is_json=says_json(self._headers),
        )
        self._whole.append((head, body))

    # --- what the parser leaves to us

    def _decline_upgrade(self, rest: bytes) -> bytes:
        """Go on as if nothing had been asked (Java's client asks for h2c by default); what to parse next.

        The parser leaves the body of such a request to whoever understands the new protocol.
        """
        self._parser = httptools.HttpRequestParser(self)
        if not self._whole:
            return rest
        head, body = self._whole[-1]
        length = head.header(b"content-length")
        self._unread = int(length) if length is not None and length.isdigit() and not body else 0
        if not self._unread:
            return rest
        self.idle = False
        return self._take_body(rest)

    def _take_body(self, data: bytes) -> bytes:
        self._body.append(data[: self._unread])
        rest = data[self._unread :]
        self._unread = max(0, self._unread - len(data))
        if not self._unread:
            head, _ = self._whole[-1]
            self._whole[-1] = head, b"".join(self._body)
            self._body = []
            self.idle = True
        return rest

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self.refused = 431
