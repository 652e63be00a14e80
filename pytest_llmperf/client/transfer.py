"""One request and its answer on one connection."""

from __future__ import annotations

import time

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.http import Connection, HttpError, ResponseParser
from pytest_llmperf.core.exchange import FailureKind


async def transfer(connection: Connection, request: bytes, attempt: Attempt) -> bool:
    """Send *request* and tell *attempt* what comes back: whether the connection can carry another one.

    What arrived before the caller gave up is told, too.
    """
    parser = ResponseParser()
    connection.hold_back(holding=False)
    attempt.sending(time.perf_counter())
    connection.write(request)
    try:
        while not (attempt.finished or parser.complete):
            await _step(connection, parser, attempt)
    except BaseException:
        for at_s, data in connection.take():
            if not attempt.finished:
                _take_in(data, at_s, connection, parser, attempt)
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
    for at_s, data in received:
        if at_s >= horizon_s:
            if attempt.expires(at_s):
                return
            horizon_s = attempt.horizon_s(at_s)
        _take_in(data, at_s, connection, parser, attempt)
        if attempt.finished or parser.complete:
            return
    if not received:
        parser.close()
        attempt.end(time.perf_counter(), complete=parser.complete)


def _take_in(
    data: bytes, at_s: float, connection: Connection, parser: ResponseParser, attempt: Attempt
) -> None:
    """One piece that arrived at *at_s*."""
    attempt.arrived(at_s)
    try:
        head, body = parser.feed(data)
    except HttpError as error:
        attempt.fail(FailureKind.MALFORMED, f"this is not HTTP: {error}", at_s)
        return
    if head is not None:
        headers = head.headers
        attempt.head(head.status, headers.get("content-type", ""), headers.get("content-encoding", ""), at_s)
        connection.hold_back(holding="chunked" in headers.get("transfer-encoding", "").lower())
    if body and not attempt.finished:
        attempt.body(body, at_s)
    if parser.complete:
        attempt.end(at_s, complete=True)
