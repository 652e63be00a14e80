"""One request and its answer on one connection."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.blocking import BlockingConnection
from pytest_llmperf.client.http import Connection, HttpError, ResponseParser
from pytest_llmperf.core.exchange import FailureKind


async def transfer(connection: Connection, request: bytes, attempt: Attempt) -> bool:
    """Send *request* and tell *attempt* what comes back: whether the connection can carry another one.

    What arrived before the caller gave up is told, too.
    """
    parser = ResponseParser()
    connection.expect()
    attempt.sending(time.perf_counter())
    connection.write(request)
    try:
        while not (attempt.finished or parser.complete):
            horizon_s = attempt.horizon_s(time.perf_counter())
            try:
                received = await connection.read(horizon_s)
            except OSError as error:
                _end(error, attempt)
            else:
                _take_in(received, horizon_s, parser, attempt)
                if not parser.complete:
                    connection.hold_back(holding=parser.chunked)
    except BaseException:
        _read(connection.take(), parser, attempt)
        raise
    return parser.complete and parser.reusable


def transfer_blocking(connection: BlockingConnection, request: bytes, attempt: Attempt) -> bool:
    """The same on the running thread."""
    parser = ResponseParser()
    attempt.sending(time.perf_counter())
    try:
        connection.write(request, attempt.deadline().at_s)
    except OSError as error:
        _end(error, attempt)
    while not (attempt.finished or parser.complete):
        horizon_s = attempt.deadline().at_s
        try:
            received = connection.read(horizon_s)
        except OSError as error:
            _end(error, attempt)
        else:
            # what is there is taken: that this thread was late is not the server's fault
            _take_in(received, math.inf, parser, attempt)
    return parser.complete and parser.reusable


def _end(error: OSError, attempt: Attempt) -> None:
    """Nothing came in time, or nothing more will come."""
    if isinstance(error, TimeoutError):
        attempt.expires(time.perf_counter())
    else:
        attempt.end(time.perf_counter(), complete=False)


def _take_in(
    received: Sequence[tuple[float, bytes]], horizon_s: float, parser: ResponseParser, attempt: Attempt
) -> None:
    """Pieces, each with the moment at which it arrived; none at the end of the connection.

    No deadline can have passed before *horizon_s*.
    """
    if not received:
        parser.close()
        attempt.end(time.perf_counter(), complete=parser.complete)
    elif received[-1][0] < horizon_s:
        _read(received, parser, attempt)
    else:
        for at_s, data in received:
            if at_s >= horizon_s:
                if attempt.expires(at_s):
                    return
                horizon_s = attempt.horizon_s(at_s)
            _read([(at_s, data)], parser, attempt)
            if attempt.finished or parser.complete:
                return


def _read(received: Sequence[tuple[float, bytes]], parser: ResponseParser, attempt: Attempt) -> None:
    """Pieces that arrived while no deadline passed."""
    pieces: list[bytes] = []
    arrived_s: list[float] = []
    wrong = ""
    for at_s, data in received:
        try:
            head, body = parser.feed(data)
        except HttpError as error:
            wrong = f"this is not HTTP: {error}"
            break
        if head is not None:
            kind, encoding = head.headers.get("content-type", ""), head.headers.get("content-encoding", "")
            attempt.head(head.status, kind, encoding, at_s)
        if body:
            pieces.append(body)
            arrived_s.append(at_s)
        if parser.complete:
            break
    if received:
        attempt.arrived(received[0][0])
    attempt.bodies(pieces, arrived_s)
    if wrong:
        attempt.fail(FailureKind.MALFORMED, wrong, at_s)
    if parser.complete:
        attempt.end(at_s, complete=True)
