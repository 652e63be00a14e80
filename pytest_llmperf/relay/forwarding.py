"""One exchange on its way through a relay: request up, answer down."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pytest_llmperf.client.causes import connect_failure
from pytest_llmperf.client.http import Head, HttpError, ResponseParser
from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.relay.headers import answer_head, request_head
from pytest_llmperf.relay.upstream import Line, UpstreamConnection
from pytest_llmperf.relay.watch import RelayedRequest, Watch

if TYPE_CHECKING:
    from pytest_llmperf.relay.downstream import ClientConnection

_HEAD_END = b"\r\n\r\n"
_WITHOUT_BODY = {204, 304}


class Forwarding:
    """Passes the answer on as it comes, and tells the watch after that."""

    def __init__(
        self,
        client: ClientConnection,
        request: RelayedRequest,
        line: Line,
        watch: Watch | None,
        *,
        version: str,
        keep_alive: bool,
        placeholder: str | None,
    ) -> None:
        self._client = client
        self._request = request
        self._line = line
        self._watch = watch
        self._version = version
        self._keep_alive = keep_alive
        self._head = self._request_head(placeholder)
        self._connection: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._reused = False
        self._parser = ResponseParser()
        self._raw = b""  # until the head is complete
        self._has_head = False
        self._until_close = False  # the end of the connection is the end of the body

    def start(self) -> None:
        """Send the request, on a kept connection if there is one."""
        kept = self._line.take()
        if kept is not None:
            self._reused = True
            self._send(kept)
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def received(self, data: bytes, at_s: float) -> None:
        """Bytes of the answer; the connection calls it."""
        if self._has_head:
            self._client.write(data)
        else:
            self._raw += data
        try:
            head, body = self._parser.feed(data)
        except HttpError as error:
            self._garbage(f"this is not HTTP: {error}", at_s)
            return
        if head is not None:
            self._pass_head(head, at_s)
        if body and self._watch is not None:
            self._watch.chunk(body, at_s)
        if self._parser.complete:
            self._finish(at_s)

    def lost(self, error: Exception | None, at_s: float) -> None:
        """The server closed; the connection calls it."""
        self._connection = None
        if self._reused and not self._raw and not self._has_head:
            self._reused = False  # the server had closed the idle connection: no failed request
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        self._parser.close()
        if self._parser.complete and error is None:
            self._end(at_s)
            self._client.finished(keep=False)
            return
        self._end(at_s, FailureKind.CUT, "the server closed the connection")
        # where a close would look like a proper end, a reset does not; half a head is kept back for that
        self._client.cut(reset=self._until_close or not self._has_head)

    def abandon(self, at_s: float) -> None:
        """The client left: so do we."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        self._end(at_s, FailureKind.CANCELLED, "the client left before the end of the answer")

    def pause(self, *, paused: bool) -> None:
        """The client reads slowly, or again."""
        transport = None if self._connection is None else self._connection.transport
        if transport is not None and not transport.is_closing():
            if paused:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _request_head(self, placeholder: str | None) -> bytes:
        request = self._request
        has_body = bool(request.body) or request.method in {"POST", "PUT", "PATCH"}
        return request_head(
            self._line.request_line(request.method, request.target, self._version),
            request.headers,
            body_bytes=len(request.body) if has_body else None,
            placeholder=placeholder,
            authorization=list(self._line.upstream.authorization.items()),
        )

    async def _connect(self) -> None:
        where = self._line.origin
        try:
            connection = await self._line.connect()
        except TimeoutError:
            kind = FailureKind.TIMEOUT_CONNECT
            message = f"{where}: no connection within {self._line.upstream.connect_s:g} s"
        except OSError as error:
            kind, message = connect_failure(error, where)
        else:
            self._connecting = None
            self._send(connection)
            return
        self._connecting = None
        self._end(time.perf_counter(), kind, message)
        # the client sees what it would see without us: a connection that fails, not an answer
        self._client.cut(reset=True)

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.sink = self
        connection.write(self._head + self._request.body)
        if self._watch is not None:
            self._watch.sent(time.perf_counter())

    def _pass_head(self, head: Head, at_s: float) -> None:
        raw = self._raw
        begin, end = 0, raw.find(_HEAD_END)
        while raw[begin : begin + 10].split(b" ", 1)[-1][:1] == b"1":  # an interim answer
            begin = end + len(_HEAD_END)
            end = raw.find(_HEAD_END, begin)
        bodiless = self._request.method == "HEAD" or head.status in _WITHOUT_BODY
        framed = {"content-length", "transfer-encoding"} & head.headers.keys()
        self._until_close = not (framed or bodiless)
        self._keep_alive = self._keep_alive and not self._until_close
        passed, headers = answer_head(raw[begin:end], close=not self._keep_alive)
        self._has_head, self._raw = True, b""
        self._client.write(passed + raw[end + len(_HEAD_END) :])
        if self._watch is not None:
            self._watch.head(head.status, headers, at_s)
        if bodiless and not self._parser.complete:
            self._parser.complete = True  # the parser waits for a body, which does not come
            self._parser.reusable = False

    def _finish(self, at_s: float) -> None:
        self.pause(paused=False)  # the next request on the connection wants to hear its answer
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._parser.reusable:
                self._line.give_back(connection)
            else:
                connection.abort()
        self._end(at_s)
        self._client.finished(keep=self._keep_alive)

    def _garbage(self, message: str, at_s: float) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        if not self._has_head:
            self._client.write(self._raw)
        self._end(at_s, FailureKind.MALFORMED, message)
        self._client.cut(reset=self._until_close)

    def _end(self, at_s: float, failure: FailureKind | None = None, message: str = "") -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.end(at_s, failure, message)
