"""What makes one server's answers different from another's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.generation import Generation

Frames = list[tuple[int, bytes]]  #: step of the engine after which to send, and what

encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The bytes of one kind of server. Every member is a plain function, so one can be swapped."""

    name: str
    head: Callable[..., bytes]  #: (status, type, length or None when chunked, extra headers)
    refusal: Callable[[Refusal], tuple[int, bytes]]
    chat: Callable[[Generation], bytes]
    chat_events: Callable[[Generation, bool], Frames]  #: (generation, include usage)
    completion: Callable[[Generation], bytes]
    completion_events: Callable[[Generation, bool], Frames]
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    done: bytes = b"data: [DONE]\n\n"


class HeadWriter:
    """HTTP response heads in one server's order and spelling, with a date made once a second."""

    __slots__ = ("_date", "_second", "_template")

    def __init__(self, template: str) -> None:
        self._template = template
        self._second = 0
        self._date = ""

    def __call__(
        self, status: int, content_type: bytes, length: int | None, extra: Mapping[str, str] | None = None
    ) -> bytes:
        """The head without its end: the connection headers and the empty line follow."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True)
        body = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        kind = f"\r\ncontent-type: {content_type.decode()}" if content_type else ""
        more = "".join(f"\r\n{name}: {_one_line(value)}" for name, value in extra.items()) if extra else ""
        return self._template.format(
            status=status,
            reason=_REASONS.get(status, "Unknown"),
            date=self._date,
            body=body,
            type=kind,
            more=more,
        ).encode("latin-1", "replace")


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


_REASONS = {status.value: status.phrase for status in HTTPStatus}


def sse(payload: str) -> bytes:
    """One server-sent event."""
    return b"data: " + payload.encode("utf-8", "replace") + b"\n\n"


def error_body(error: Mapping[str, Any]) -> bytes:
    """``{"error": ...}``."""
    return encode_json({"error": error}).encode("utf-8", "replace")
