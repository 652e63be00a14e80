"""Recorded exchanges as lines of JSON: the first says what the file is, each other one is an exchange.

    {"schema": "pytest-llmperf/recording/1", "upstream": "http://127.0.0.1:8000", "recorded": "2026-..."}
    {"request": {"method", "target", "headers", "body"}, "response": {"status", "reason", "headers",
     "head_s", "pieces": [[at_s, bytes], ...], "end_s", "whole"}}

Times are seconds since the request was sent on whole. Bytes are a text where they are UTF-8 and
``{"base64": ...}`` where they are not. The body is as the client gets it after its transfer coding
(chunked) is undone; a piece is what came in one read. Secrets are hidden (`secrets.py`).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.wire import secrets
from pytest_llmperf.wire.json_value import loads

SCHEMA = "pytest-llmperf/recording/1"
_LONGEST_S = 24 * 3600  # of one exchange
_HEADER_KEYS = ("schema", "upstream", "recorded")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedExchange:
    """One request and the answer to it, as the recorder saw them."""

    method: str
    target: str  #: path and query
    request_headers: tuple[tuple[str, str], ...] = ()
    request_body: bytes = b""
    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    head_s: float  #: when the head of the answer came
    pieces: tuple[tuple[float, bytes], ...] = ()  #: when each part of the body came, and what it was
    end_s: float  #: when the answer ended
    whole: bool = True  #: False: the server broke it off


def header_line(*, upstream: str, recorded: str) -> str:
    """The first line of a recording; *upstream* without user and password, *recorded* an ISO 8601 time."""
    values = (SCHEMA, upstream, recorded)
    return json.dumps(dict(zip(_HEADER_KEYS, values, strict=True)), ensure_ascii=False) + "\n"


def exchange_line(exchange: RecordedExchange) -> str:
    """*exchange* as a line, without its secrets."""
    one = without_secrets(exchange)
    request = {
        "method": one.method,
        "target": one.target,
        "headers": one.request_headers,
        "body": _to_json(one.request_body),
    }
    response = {
        "status": one.status,
        "reason": one.reason,
        "headers": one.headers,
        "head_s": round(one.head_s, 6),
        "pieces": [(round(at_s, 6), _to_json(data)) for at_s, data in one.pieces],
        "end_s": round(one.end_s, 6),
        "whole": one.whole,
    }
    return json.dumps({"request": request, "response": response}, ensure_ascii=False) + "\n"


def without_secrets(exchange: RecordedExchange) -> RecordedExchange:
    """*exchange* with the secrets of its request hidden everywhere, and those that its answer sets."""
    known = secrets.secrets_in(exchange.target, exchange.request_headers, exchange.request_body)
    known = tuple(dict.fromkeys((*known, *secrets.secrets_in("", exchange.headers))))

    def hide(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        kept = secrets.without_secret_headers(tuple(headers))
        return tuple((name, secrets.mask_echoes([value.encode()], known)[0].decode()) for name, value in kept)

    masked = secrets.mask_echoes([data for _, data in exchange.pieces], known)
    return RecordedExchange(
        method=exchange.method,
        target=secrets.hide_in_target(exchange.target, known),
        request_headers=hide(exchange.request_headers),
        request_body=secrets.hide_in_body(exchange.request_body, known),
        status=exchange.status,
        reason=secrets.mask_echoes([exchange.reason.encode()], known)[0].decode(),
        headers=hide(exchange.headers),
        head_s=exchange.head_s,
        pieces=tuple((at_s, data) for (at_s, _), data in zip(exchange.pieces, masked, strict=True)),
        end_s=exchange.end_s,
        whole=exchange.whole,
    )


def read_recording(text: str, *, where: str) -> tuple[RecordedExchange, ...]:
    """The exchanges of a recording, in order.

    A last line without its end was cut while it was written, and is left out. Raises
    LlmPerfUsageError naming *where* and the line.
    """
    first, *lines = text.split("\n")
    header = _parsed(first, where=f"{where}:1")
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise LlmPerfUsageError(f"{where}:1: not a recording of llmperf record (schema {SCHEMA!r} expected)")
    exchanges = []
    for number, line in enumerate(lines[:-1], 2):
        try:
            exchanges.append(_exchange(_parsed(line, where=f"{where}:{number}")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise LlmPerfUsageError(f"{where}:{number}: not an exchange ({what})") from None
    if not exchanges:
        raise LlmPerfUsageError(f"{where}: holds no exchange")
    return tuple(exchanges)


def match_key(method: str, target: str, body: bytes, headers: secrets.Headers = ()) -> tuple[str, str, str]:
    """What a request is recognised by: equal for JSON bodies that differ in form or in secrets only."""
    hidden = secrets.hide_in_body(body, secrets.secrets_in(target, headers, body))
    try:
        shown = json.dumps(loads(hidden), sort_keys=True, ensure_ascii=False)
    except ValueError:
        shown = hidden.decode("utf-8", "backslashreplace")
    return method, secrets.hide_in_target(target), shown


def _exchange(line: object) -> RecordedExchange:
    request, response = line["request"], line["response"]  # type: ignore[index] # what is wrong is caught
    pieces = tuple((_seconds(at_s), _from_json(data)) for at_s, data in response["pieces"])
    return RecordedExchange(
        method=_text(request["method"]),
        target=_text(request["target"]),
        request_headers=_headers(request["headers"]),
        request_body=_from_json(request["body"]),
        status=_status(response["status"]),
        reason=_text(response["reason"]),
        headers=_headers(response["headers"]),
        head_s=_seconds(response["head_s"]),
        pieces=pieces,
        end_s=_seconds(response["end_s"]),
        whole=bool(response["whole"]),
    )


def _parsed(line: str, *, where: str) -> object:
    try:
        return loads(line)
    except ValueError as error:
        raise LlmPerfUsageError(f"{where}: not a line of a recording: {error}") from None


def _headers(value: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((_one_line(name), _one_line(one)) for name, one in value)


def _one_line(value: str) -> str:
    """A header's name or value; one with a line break would be two headers."""
    if "\r" in value or "\n" in value:
        raise ValueError(f"a line break in {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, not {value!r}")
    return _one_line(value)


def _status(value: object) -> int:
    if not isinstance(value, int) or not 200 <= value <= 599:
        raise ValueError(f"expected an HTTP status, not {value!r}")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < _LONGEST_S:
        raise ValueError(f"expected a time in seconds, not {value!r}")
    return float(value)


def _to_json(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _from_json(value: str | dict[str, str]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return b64decode(value["base64"], validate=True)
