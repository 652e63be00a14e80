"""Writes what passes a relay to a file, as `wire.recording` has it: for the mock to give again."""

from __future__ import annotations

import http
from collections.abc import Callable
from typing import TextIO

from pytest_llmperf.client.encoding import decoder
from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.relay.watch import Headers, RelayedRequest
from pytest_llmperf.wire.recording import RecordedExchange, exchange_line

_CODED = ("content-encoding", "content-length")


class Writer:
    """Observes a relay; every exchange that got an answer becomes a line of *file* when it ends."""

    def __init__(self, file: TextIO, complain: Callable[[str], None]) -> None:
        """*complain* is told of exchanges that cannot be recorded, without their contents."""
        self.complain = complain
        self.written = 0
        self.left_out = 0
        self._file = file

    def observe(self, request: RelayedRequest) -> _Watch:
        """The watch of one exchange."""
        return _Watch(self, request)

    def write(self, exchange: RecordedExchange) -> None:
        """Add *exchange* and let nothing wait in a buffer: a recorder is often ended by a signal."""
        self._file.write(exchange_line(exchange))
        self._file.flush()
        self.written += 1

    def leave_out(self, request: RelayedRequest, reason: str) -> None:
        """Say why an exchange is missing in the file."""
        self.left_out += 1
        path = request.target.partition("?")[0]
        self.complain(f"{request.method} {path} is not recorded: {reason}")


class _Watch:
    """Keeps one exchange until it is over."""

    def __init__(self, writer: Writer, request: RelayedRequest) -> None:
        self._writer = writer
        self._request = request
        self._sent_s = request.arrived_s
        self._head_s = 0.0
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._pieces: list[tuple[float, bytes]] = []

    def sent(self, at_s: float) -> None:
        """Times count from here."""
        self._sent_s = at_s

    def head(self, status: int, headers: Headers, at_s: float) -> None:
        """The head of the answer."""
        self._status, self._head_s = status, at_s - self._sent_s
        self._headers = _text(headers)

    def chunk(self, data: bytes, at_s: float) -> None:
        """A piece of its body."""
        self._pieces.append((at_s - self._sent_s, data))

    def end(self, at_s: float, failure: FailureKind | None, message: str) -> None:
        """Write it down, if it is worth it."""
        request = self._request
        if failure is not None and (failure is not FailureKind.CUT or not self._status):
            self._writer.leave_out(request, message)
            return
        try:
            headers, pieces = _decoded(self._headers, self._pieces)
        except ValueError as error:
            self._writer.leave_out(request, str(error))
            return
        exchange = RecordedExchange(
            method=request.method,
            target=request.target,
            request_headers=_text(request.headers),
            request_body=request.body,
            status=self._status,
            reason=_reason(self._status),
            headers=headers,
            head_s=max(0.0, self._head_s),
            pieces=tuple((max(0.0, when_s), data) for when_s, data in pieces),
            end_s=max(0.0, at_s - self._sent_s),
            whole=failure is None,
        )
        self._writer.write(exchange)


def _decoded(
    headers: tuple[tuple[str, str], ...], pieces: list[tuple[float, bytes]]
) -> tuple[tuple[tuple[str, str], ...], list[tuple[float, bytes]]]:
    """Headers and body without a content coding: a secret inside compressed bytes could not be hidden."""
    coding = next((value for name, value in headers if name.lower() == "content-encoding"), "identity")
    if coding.lower() == "identity":
        return headers, pieces
    decode = decoder(coding)
    if decode is None:
        raise ValueError(f"its answer is compressed as {coding!r}, in which no secret could be hidden")
    plain = [(at_s, decode(data)) for at_s, data in pieces]
    kept = [one for one in headers if one[0].lower() not in _CODED]
    if len(headers) - len(kept) == len(_CODED):
        kept.append(("content-length", str(sum(len(data) for _, data in plain))))
    return tuple(kept), plain


def _text(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
