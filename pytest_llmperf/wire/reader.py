"""Reads one answer: bytes in, events out, and no wrong success."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from pytest_llmperf.core.exchange import Failure, FailureKind
from pytest_llmperf.wire.dialect import Dialect, MalformedAnswerError
from pytest_llmperf.wire.errors import excerpt, failure_in, failure_of_object
from pytest_llmperf.wire.events import Delta, Done, Event, Failed, Finish, Texts
from pytest_llmperf.wire.frames import Frames
from pytest_llmperf.wire.json_value import JsonObject, loads
from pytest_llmperf.wire.lines import LineTooLongError
from pytest_llmperf.wire.template import Template

MAX_ANSWER_BYTES = 64 * 1024 * 1024
_KEPT_HEAD = 4096


def cut(message: str) -> Failure:
    """The failure of an answer that ended too early."""
    return Failure(kind=FailureKind.CUT, message=message, status=200)


def malformed(message: str) -> Failure:
    """The failure of an answer that the dialect does not allow."""
    return Failure(kind=FailureKind.MALFORMED, message=message, status=200)


_TOO_MUCH = malformed(f"an answer of more than {MAX_ANSWER_BYTES} bytes")


class Payloads:
    """JSON texts of the objects that came; those of alike events are told apart when somebody asks."""

    def __init__(self, frames: Callable[[], Frames]) -> None:
        self._frames = frames
        self._texts: list[bytes] = []
        self._framed: list[bool] = []

    def add(self, text: bytes) -> None:
        """One text."""
        self._texts.append(text)
        self._framed.append(False)

    def add_framed(self, pieces: Sequence[bytes]) -> int:
        """Whole events; how many bytes they are."""
        self._texts.append(b"".join(pieces))
        self._framed.append(True)
        return len(self._texts[-1])

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __iter__(self) -> Iterator[bytes]:
        for text, framed in zip(self._texts, self._framed, strict=True):
            yield from (frame.payload for frame in self._frames().feed(text)) if framed else (text,)


class StreamReader:
    """Reads a streamed answer."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._frames = dialect.frames()
        # which knows nothing of this reader: what refers to itself is left to the garbage collector
        self._template = Template(lambda payload: dialect.read_chunk(_parsed(payload)))
        self._end = self._frames.end.encode()
        self._head = b""
        self._size = 0
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self.payloads = Payloads(dialect.frames)
        self.done = False  #: whether the server announced the end
        self.failed = False

    def feed(self, data: bytes) -> list[Event]:
        """What *data* completes."""
        *whole, rest = data.split(self._end)
        pieces = [piece + self._end for piece in whole]
        if rest:
            pieces.append(rest)
        events: list[Event] = []
        at = 0
        while at < len(pieces):
            some = self.texts(pieces, at)
            if some is not None:
                events += some.deltas
                at += len(some.counts)
            else:
                events += self._full(pieces[at])
                at += 1
        return events

    def texts(self, pieces: Sequence[bytes], start: int) -> Texts | None:
        """What the first of *pieces* from *start* on say, as many as are whole events that bring text alone.

        None where there is none, or where it has to be found out by `feed`.
        """
        if not self._frames.at_start or self._size > MAX_ANSWER_BYTES:
            return None
        texts = self._template.texts(pieces, start)
        if texts is not None:
            self._size += self.payloads.add_framed(pieces[start : start + len(texts.counts)])
        return texts

    def _full(self, data: bytes) -> list[Event]:
        """What *data* completes, read to the letter."""
        if len(self._head) < _KEPT_HEAD:
            self._head += data[:_KEPT_HEAD]
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            return self._noted([Failed(failure=_TOO_MUCH)])
        whole = self._frames.at_start
        try:
            frames = self._frames.feed(data)
        except LineTooLongError as error:
            return self._noted([Failed(failure=malformed(str(error)))])
        events: list[Event] = []
        for payload, name in frames:
            events += self._noted(self._read(payload, name))
        whole = whole and self._frames.at_start and len(frames) == 1
        if whole and len(events) == 1 and isinstance(events[0], Delta):
            self._template.learn(data, frames[0].payload.strip(), events[0])
        return events

    def close(self, *, complete: bool) -> list[Event]:
        """What the end of the bytes says; *complete*: it is where HTTP announced it."""
        events: list[Event] = []
        for payload, name in self._frames.close():
            read = self._read(payload, name)
            if any(_is_malformed(event) for event in read):
                # half an event: the reason is the end, not the syntax
                read = [Failed(failure=cut("the stream ended inside an event"))]
            events += self._noted(read)
        if not self.failed:
            failure = self._missing(complete=complete)
            if failure is not None:
                events += self._noted([Failed(failure=failure)])
        return events

    @property
    def whole(self) -> bool:
        """Whether the answer is there, though its end was perhaps not waited for."""
        return self.done or bool(self._finished and not self._seen - self._finished)

    def _missing(self, *, complete: bool) -> Failure | None:
        """What a regular end lacks."""
        if not self.payloads and not self.done:
            return self._nothing(complete=complete)
        if self._frames.stray:
            return _stray(self._frames.stray)
        if not self._finished or self._seen - self._finished:
            return cut("the stream ended without a finish_reason")
        if not complete and not self.done:
            return cut("the connection was cut before the end of the stream")
        return None

    def _nothing(self, *, complete: bool) -> Failure:
        """Why there is not one event."""
        text = self._head.decode("utf-8", errors="replace").strip()
        with suppress(MalformedAnswerError):  # an error without the framing of a stream
            failure = failure_of_object(_parsed(self._head))
            if failure is not None:
                return failure
        if not complete:
            return cut("the connection was cut before the first event")
        if not text or text.startswith(":"):
            return cut("status 200, and the stream ended without one event")
        return malformed(f"this is not a stream of the dialect: {excerpt(text)}")

    def _read(self, payload: bytes, name: str) -> list[Event]:
        payload = payload.strip()
        if payload == b"[DONE]":
            return [Done()]
        if not payload:
            return []
        if name == "error":
            return [Failed(failure=_announced(payload))]
        try:
            parsed = _parsed(payload)
            self.payloads.add(payload)  # the text: objects kept alive cost the garbage collector more
            return self._dialect.read_chunk(parsed)
        except MalformedAnswerError as error:
            return [Failed(failure=malformed(str(error)))]

    def _noted(self, events: list[Event]) -> list[Event]:
        for event in events:
            if isinstance(event, Delta):  # nearly always: before the slower match
                self._seen.add(event.choice)
                continue
            match event:
                case Finish(choice=choice):
                    self._finished.add(choice)
                case Failed():
                    self.failed = True
                case Done():
                    self.done = True
        return events


class PlainReader:
    """Reads an answer that is one JSON object."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._parts: list[bytes] = []
        self._size = 0
        self.payloads: list[bytes] = []  #: JSON text of the object that came
        self.done = False
        self.failed = False

    def feed(self, data: bytes) -> list[Event]:
        """Nothing can be said before the end, except that it is too much."""
        self._parts.append(data)
        self._size += len(data)
        if self._size <= MAX_ANSWER_BYTES:
            return []
        self._parts.clear()
        return self._fail(_TOO_MUCH)

    def close(self, *, complete: bool) -> list[Event]:
        """What the answer says; *complete*: it ended where HTTP announced it."""
        if self.failed:
            return []
        body = b"".join(self._parts)
        if not complete:
            return self._fail(cut("the connection was cut before the end of the answer"))
        if not body.strip():
            return self._fail(cut("status 200, and the answer is empty"))
        try:
            parsed = _parsed(body)
            self.payloads.append(body)
            events = self._dialect.read_answer(parsed)
        except MalformedAnswerError as error:
            return self._fail(malformed(str(error)))
        self.failed = any(isinstance(event, Failed) for event in events)
        return events

    def _fail(self, failure: Failure) -> list[Event]:
        self.failed = True
        return [Failed(failure=failure)]


def _parsed(text: bytes) -> JsonObject:
    """The JSON object in *text*. Raises MalformedAnswerError."""
    try:
        parsed = loads(text.decode("utf-8"))
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise MalformedAnswerError(f"this is not a JSON object: {excerpt(text.decode(errors='replace'))}")
    return parsed


def _stray(line: bytes) -> Failure:
    """What a line means that belongs to no event: an error without framing, or garbage."""
    with suppress(MalformedAnswerError):
        failure = failure_of_object(_parsed(line))
        if failure is not None:
            return failure
    return malformed(f"a line belongs to no event: {excerpt(line.decode(errors='replace'))}")


def _announced(payload: bytes) -> Failure:
    """The failure in an event that is named an error, whatever it holds."""
    try:
        return failure_in(_parsed(payload))
    except MalformedAnswerError:
        text = excerpt(payload.decode(errors="replace"))
        return Failure(kind=FailureKind.STREAM_ERROR, message=text, status=200)


def _is_malformed(event: Event) -> bool:
    return isinstance(event, Failed) and event.failure.kind is FailureKind.MALFORMED
