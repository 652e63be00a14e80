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
from pytest_llmperf.mock.demands import USUAL, Demands
from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.plan import Timing

NDJSON = b"application/x-ndjson"
Frames = list[tuple[int, bytes]]  #: step of the engine after which to send, and what

encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
encode_text: Callable[[str], str] = json.encoder.encode_basestring  #: the same for a text, five times as fast


def to_bytes(value: Any) -> bytes:
    """*value* as compact JSON; a lone surrogate, which UTF-8 cannot hold, becomes "?"."""
    return encode_json(value).encode("utf-8", "replace")


def sse(payload: str) -> bytes:
    """One server-sent event."""
    return b"data: " + payload.encode("utf-8", "replace") + b"\n\n"


def no_end(_generation: Generation, _include_usage: int, _timing: Timing) -> bytes:
    """Nothing after the events."""
    return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The bytes of one kind of server. Every member is a plain function, so one can be swapped."""

    name: str
    head: Callable[..., bytes]  #: a HeadWriter, or what is called like one
    bare_head: Callable[..., bytes] | None = None  #: of an answer to what is no HTTP; None: as all others
    answers_head: bool = False  #: HEAD wherever GET is answered
    redirects: bool = False  #: a path with a slash too many, or too few, is redirected
    refusal: Callable[[Refusal], tuple[int, bytes]]
    not_found: Callable[[str, str], tuple[int, bytes]]  #: (method, path)
    not_allowed: Callable[[str, str], tuple[int, bytes]]
    models: Callable[[tuple[str, ...], int], Any]  #: (names, context window) to the body of /v1/models
    chat: Callable[[Generation, Timing], bytes]
    chat_events: Callable[[Generation, int], Frames]  #: (generation, include usage: see vllm_usage)
    chat_end: Callable[[Generation, int, Timing], bytes] = no_end  #: events that tell times
    completion: Callable[[Generation, Timing], bytes]
    completion_events: Callable[[Generation, int], Frames]
    completion_end: Callable[[Generation, int, Timing], bytes] = no_end
    tells_times: bool = False  #: answers are made when they are sent
    json_type: bytes = b"application/json"
    lost_type: bytes | None = None  #: of the answer where there is no route; None: as of all others
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    stream_extra: Mapping[str, str] | None = None  #: headers of streams
    done: bytes = b"data: [DONE]\n\n"
    pads: bool = False  #: streams are padded so that the length of a chunk tells nothing of its text
    closes_streams: bool = False  #: the connection ends with a stream, whatever its head says
    errors_say_close: bool = (
        False  #: "Connection: close" in the head of an error, though the connection stays
    )
    closes_after: int | None = None  #: answers on one connection
    lenient: frozenset[str] = frozenset()  #: shapes of Refusal that this server does not have
    demands: Demands = USUAL
    new_id: Callable[[int], str] = "{:016x}".format  #: from 64 random bits; all of one length (`reuse`)


class HeadWriter:
    """HTTP response heads in one server's order and spelling, with a date made once a second.

    The template has ``{status}``, ``{reason}`` and ``{date}``, and places for whole lines, each
    with its line break before it: ``{more} {type} {length} {chunked} {close}``.
    """

    __slots__ = ("_alive", "_date", "_names", "_second", "_template", "_written")

    def __init__(self, template: str, *, title: bool = False, alive: str = "") -> None:
        self._template = template
        names = ("content-type", "content-length", "transfer-encoding", "connection")
        self._names = tuple(name.title() for name in names) if title else names
        self._alive = f"\r\n{alive}" if alive else ""  # said while the connection stays
        self._second = 0
        self._date = ""
        self._written: dict[tuple[int, bytes, int | None, bool], bytes] = {}  # within this second

    def __call__(
        self,
        status: int,
        content_type: bytes,
        length: int | None,
        extra: Mapping[str, str] | None = None,
        *,
        close: bool,
    ) -> bytes:
        """A whole head; *length* None: chunked."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True)
            self._written.clear()
        if extra:
            return self._write(status, content_type, length, extra, close=close)
        key = (status, content_type, length, close)
        head = self._written.get(key)
        if head is None:
            head = self._written[key] = self._write(status, content_type, length, {}, close=close)
        return head

    def _write(
        self, status: int, content_type: bytes, length: int | None, extra: Mapping[str, str], *, close: bool
    ) -> bytes:
        kind, size, coding, connection = self._names
        return (
            self._template.format(
                status=status,
                reason=_REASONS.get(status, "Unknown"),
                date=self._date,
                type=f"\r\n{kind}: {content_type.decode()}" if content_type else "",
                length="" if length is None else f"\r\n{size}: {length}",
                chunked=f"\r\n{coding}: chunked" if length is None else "",
                close=f"\r\n{connection}: close" if close else self._alive,
                more="".join(f"\r\n{name}: {_one_line(value)}" for name, value in extra.items()),
            ).encode("latin-1", "replace")
            + b"\r\n\r\n"
        )


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


_REASONS = {status.value: status.phrase for status in HTTPStatus}
