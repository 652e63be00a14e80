"""One request and its answer on one connection."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pytest_llmperf.client.attempt import Attempt
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
            await _step(connection, parser, attempt)
    except BaseException:
        _take_in(connection.take(), connection, parser, attempt)
        raise
    return parser.complete and parser.reusable and connection.idle_and_open


async def _step(connection: Connection, parser: ResponseParser, attempt: Attempt) -> None:
    """Take in what arrives next."""
    horizon_s = attempt.horizon_s(time.perf_counter())
    try:
        received = await connection.read(horizon_s)
    except TimeoutError:
        attempt.expires(time.perf_counter())
        return
    except OSError:
        attempt.end(time.perf_counter(), complete=False)
        return
    if received and received[-1][0] < horizon_s:
        _take_in(received, connection, parser, attempt)
        return
    for at_s, data in received:
        if at_s >= horizon_s:
            if attempt.expires(at_s):
                return
            horizon_s = attempt.horizon_s(at_s)
        _take_in([(at_s, data)], connection, parser, attempt)
        if attempt.finished or parser.complete:
            return
    if not received:
        parser.close()
        attempt.end(time.perf_counter(), complete=parser.complete)


def _take_in(
    received: Sequence[tuple[float, bytes]], connection: Connection, parser: ResponseParser, attempt: Attempt
) -> None:
    """Pieces, each with the moment at which it arrived, while no deadline passed."""
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
            headers = head.headers
            attempt.head(
                head.status, headers.get("content-type", ""), headers.get("content-encoding", ""), at_s
            )
            connection.hold_back(holding="chunked" in headers.get("transfer-encoding", "").lower())
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
