"""Recorded answers in place of made-up ones: the same bytes at the same pace, or faster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.delivery import LAST_CHUNK, chunked
from pytest_llmperf.mock.dialect import NDJSON
from pytest_llmperf.mock.plan import Plan
from pytest_llmperf.wire.recording import RecordedExchange, match_key, read_recording

_SHOWN = 60  # characters of a value in an error
_COMPARED_KEYS = 500  # recorded requests that are looked at for it
_COMPARED = 2000  # characters of a body when the nearest is looked for

Key = tuple[str, str, str]


class Replay:
    """The exchanges of one recording, and how often each request has been asked."""

    __slots__ = ("_asked", "_by_key", "_name", "_speed")

    def __init__(self, exchanges: Sequence[RecordedExchange], *, speed: float, name: str) -> None:
        self._by_key: dict[Key, list[RecordedExchange]] = {}
        for one in exchanges:
            key = match_key(one.method, one.target, one.request_body)
            self._by_key.setdefault(key, []).append(one)
        self._asked: dict[Key, int] = {}
        self._speed = speed
        self._name = name

    def reset(self) -> None:
        """Start again with the first answer to every request."""
        self._asked.clear()

    @property
    def models(self) -> tuple[str, ...]:
        """The names of models that the recorded requests ask for."""
        names: dict[str, None] = {}
        for _, _, shown in self._by_key:
            value = _json(shown)
            if isinstance(value, dict) and isinstance(value.get("model"), str):
                names[value["model"]] = None
        return tuple(names)

    def find(self, call: Call) -> RecordedExchange | None:
        """The recorded answer to this request; None when it is not in the recording.

        The same request gets the answers that it got then, in their order, and from the start again.
        """
        key = _key_of(call)
        answers = self._by_key.get(key)
        if answers is None:
            return None
        times = self._asked.get(key, 0)
        self._asked[key] = times + 1
        return answers[times % len(answers)]

    def missing(self, call: Call) -> Refusal:
        """The error that says what was asked, and what the nearest recorded request is."""
        asked = _key_of(call)
        candidates = sorted(self._by_key, key=lambda one: one[:2] != asked[:2])[:_COMPARED_KEYS]
        nearest = max(candidates, key=lambda one: _likeness(one, asked))
        where = f"{nearest[0]} {nearest[1]}"
        if nearest[:2] == asked[:2]:
            where += f", where {_difference(_json(nearest[2]), _json(asked[2])) or 'the body differs'}"
        message = (
            f"{self._name} holds no answer to {asked[0]} {asked[1]}: the nearest request that it holds "
            f"is {where}. Record this request too (llmperf record)."
        )
        return Refusal(status=404, message=message, type="NotRecordedError", shape="not_recorded")

    def plan(self, exchange: RecordedExchange, call: Call) -> Plan:
        """How *exchange* is to be sent again."""
        headers = exchange.headers
        is_chunked = any(name.lower() == "transfer-encoding" for name, _ in headers)
        has_length = any(name.lower() == "content-length" for name, _ in headers)
        if is_chunked and not call.head.chunked:
            headers = tuple(one for one in headers if one[0].lower() != "transfer-encoding")
            is_chunked = False
        bodiless = call.method == "HEAD" or exchange.status in (204, 304)
        closes = any(
            name.lower() == "connection" and value.lower() == "close" for name, value in exchange.headers
        )
        if closes or not (is_chunked or has_length or bodiless):
            call.keep_alive = False
        frame = chunked if is_chunked else bytes
        parts = [frame(data) for _, data in exchange.pieces if data]
        times_ns = [self._ns(at_s) for at_s, data in exchange.pieces if data]
        parts.append(LAST_CHUNK if is_chunked and exchange.whole else b"")
        times_ns.append(max(self._ns(exchange.end_s), *times_ns, 0))
        head, head_ns = _head(exchange, headers), self._ns(exchange.head_s)
        plan = Plan(
            head=b"",
            parts=parts,
            stream=True,
            frame=frame,
            lines=_kind(exchange).startswith(NDJSON.decode()),
            status=exchange.status,
            ttft_ns=times_ns[0],
            gaps=[max(0, later - sooner) for sooner, later in pairwise(times_ns)],
        )
        if head_ns < times_ns[0]:
            plan.early.append((head_ns, head))
        else:
            plan.head, plan.head_late = head, True
        if not exchange.whole:
            plan.end_after, plan.reset = len(parts), True
        return plan

    def _ns(self, seconds: float) -> int:
        return round(seconds / self._speed * 1e9)


def load_replay(path: Path, *, speed: float) -> Replay:
    """The recording in the file *path*. Raises LlmPerfUsageError for one that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LlmPerfUsageError(f"cannot read the recording {path}: {error}") from None
    return Replay(read_recording(text, where=str(path)), speed=speed, name=path.name)


def is_stream(exchange: RecordedExchange) -> bool:
    """Whether its answer came event by event."""
    return _kind(exchange).startswith(("text/event-stream", NDJSON.decode()))


def make_whole(plan: Plan) -> None:
    """Let a recorded answer that is no stream leave at its end, as one: then a fault can work on it."""
    for _, head in plan.early:
        plan.head = head
    assert not isinstance(plan.gaps, int)
    plan.ttft_ns += sum(plan.gaps)
    plan.parts, plan.gaps, plan.early = [b"".join(plan.parts)], 0, []
    plan.stream, plan.head_late = False, True
    if plan.end_after is not None:
        plan.end_after = 1


def _kind(exchange: RecordedExchange) -> str:
    return next((value.lower() for name, value in exchange.headers if name.lower() == "content-type"), "")


def _key_of(call: Call) -> Key:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in call.headers]
    return match_key(call.method, call.target.decode("latin-1"), call.body, headers)


def _head(exchange: RecordedExchange, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [
        f"HTTP/1.1 {exchange.status} {exchange.reason}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _likeness(one: Key, asked: Key) -> tuple[bool, bool, float]:
    body = SequenceMatcher(None, one[2][:_COMPARED], asked[2][:_COMPARED], autojunk=False).quick_ratio()
    return one[1] == asked[1], one[0] == asked[0], body


def _json(shown: str) -> Any:
    try:
        return json.loads(shown)
    except ValueError:
        return shown


def _difference(recorded: Any, asked: Any, path: str = "") -> str:
    """Where two JSON values differ first, in words; empty when they do not."""
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for name in {**recorded, **asked}:
            here = f"{path}.{name}" if path else name
            if name not in asked:
                return f"{here} is {_short(recorded[name])} and is missing here"
            if name not in recorded:
                return f"there is no {here}, which is {_short(asked[name])} here"
            if found := _difference(recorded[name], asked[name], here):
                return found
        return ""
    if isinstance(recorded, list) and isinstance(asked, list) and len(recorded) == len(asked):
        pairs = enumerate(zip(recorded, asked, strict=True))
        return next(
            (found for at, (one, other) in pairs if (found := _difference(one, other, f"{path}[{at}]"))), ""
        )
    return "" if recorded == asked else f"{path or 'the body'} is {_short(recorded)} and not {_short(asked)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
