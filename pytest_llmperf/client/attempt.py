"""One request from its due time to its Exchange, without any socket.

The clients tell it what happened and when; it says how long to wait and what it all amounts to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import chain, repeat

from pytest_llmperf.client.counting import Counter, tokens_of
from pytest_llmperf.client.deadline import Deadline
from pytest_llmperf.core.backend import Timeouts
from pytest_llmperf.core.exchange import Exchange, Failure, FailureKind, Tokens
from pytest_llmperf.wire.answer import Answer
from pytest_llmperf.wire.dialect import Call, Dialect
from pytest_llmperf.wire.errors import failure_of_status
from pytest_llmperf.wire.events import Delta, Event, ServerTimes, Texts
from pytest_llmperf.wire.reader import PlainReader, StreamReader

_MAX_ERROR_BODY = 64 * 1024
_LINGER_S = (
    1.0  #: after the announced end, for the end of the HTTP message, so that the connection can be kept
)


class Attempt:
    """What became of one call."""

    def __init__(
        self, call: Call, dialect: Dialect, timeouts: Timeouts, *, due_s: float, began_s: float
    ) -> None:
        """*due_s*: when it was wanted, from which its times count; *began_s*: from which timeouts do."""
        self._call = call
        self._dialect = dialect
        self._timeouts = timeouts
        self._due_s = due_s
        self._began_s = self._sent_s = self._progress_s = began_s
        self._first_byte_s: float | None = None
        self._first_token_s: float | None = None
        self._first_answer_s: float | None = None
        self._chunk_s: list[float] = []
        self._done_s: float | None = None
        self._status: int | None = None
        self._error_body = b""
        self._reader: StreamReader | PlainReader | None = None
        self._streamed = call.stream
        self.answer = Answer()

    @property
    def finished(self) -> bool:
        """Whether nothing more is wanted."""
        return self._done_s is not None

    @property
    def found_nobody(self) -> bool:
        """Whether it ended without one byte, so that a reused connection may have been dead before."""
        failure = self.answer.failure
        return self._first_byte_s is None and failure is not None and failure.kind is FailureKind.CUT

    @property
    def _is_error(self) -> bool:
        """Whether a status other than 2xx came."""
        return self._status is not None and not 200 <= self._status < 300

    @property
    def payloads(self) -> Iterable[bytes]:
        """JSON text of the objects that came."""
        return () if self._reader is None else self._reader.payloads

    def sending(self, at_s: float) -> None:
        """The request goes out, perhaps for the second time."""
        self._sent_s = self._progress_s = at_s

    def restart(self) -> None:
        """Forget a reused connection that was dead."""
        self._done_s = None
        self.answer = Answer()

    def arrived(self, at_s: float) -> None:
        """Bytes came."""
        if self._first_byte_s is None:
            self._first_byte_s = at_s

    def head(self, status: int, content_type: str, encoding: str, at_s: float) -> None:
        """The head of the answer came."""
        self.arrived(at_s)
        self._status = status
        self._progress_s = at_s
        if self._is_error:
            return
        if encoding.strip().lower() not in {"", "identity"}:
            self.fail(
                FailureKind.MALFORMED,
                f"the answer is compressed ({encoding}) although that was not accepted",
                at_s,
            )
            return
        self._streamed = _is_stream(content_type, asked=self._call.stream)
        self._reader = StreamReader(self._dialect) if self._streamed else PlainReader(self._dialect)

    def body(self, data: bytes, at_s: float) -> None:
        """A piece of the body that arrived at *at_s*."""
        self.bodies([data], [at_s])

    def bodies(self, pieces: Sequence[bytes], arrived_s: Sequence[float]) -> None:
        """Pieces of the body, and when each of them arrived."""
        at = 0
        while at < len(pieces) and not self.finished:
            texts = self._reader.texts(pieces, at) if isinstance(self._reader, StreamReader) else None
            if texts is None:
                self._piece(pieces[at], arrived_s[at])
                at += 1
            else:
                end = at + len(texts.counts)
                self._texts(texts, arrived_s[at:end])
                at = end

    def _piece(self, data: bytes, at_s: float) -> None:
        if self._reader is None:
            self._error_body = (self._error_body + data)[:_MAX_ERROR_BODY]
            self._progress_s = at_s
            return
        events = self._reader.feed(data)
        if events or not self._streamed:
            self._progress_s = at_s
        self._take_in(events, at_s)
        if self._reader.failed:
            self._done_s = at_s

    def _texts(self, texts: Texts, arrived_s: Sequence[float]) -> None:
        self._progress_s = arrived_s[-1]
        self.answer.add_texts(texts)
        if len(texts.texts) == len(arrived_s):  # nearly always: one in each piece
            self._chunk_s += arrived_s
        else:
            self._chunk_s += chain.from_iterable(map(repeat, arrived_s, texts.counts))
        if self._first_token_s is None:
            self._first_token_s = arrived_s[0]
        if self._first_answer_s is None and not texts.reasoning:
            self._first_answer_s = arrived_s[0]

    def end(self, at_s: float, *, complete: bool) -> None:
        """The body is over; *complete*: where HTTP announced it, not by a lost connection."""
        if self.finished:
            return
        self._done_s = at_s
        if self._reader is not None:
            self._take_in(self._reader.close(complete=complete), at_s)
        elif self._status is None:
            self.answer.failure = Failure(
                kind=FailureKind.CUT, message="the server closed the connection without an answer"
            )
        else:
            self.answer.failure = failure_of_status(self._status, self._error_body)

    def fail(self, kind: FailureKind, message: str, at_s: float) -> None:
        """It ends here, for a reason outside the answer."""
        if not self.finished:
            self._done_s = at_s
            self.answer.failure = Failure(kind=kind, message=message, status=self._status)

    def horizon_s(self, now_s: float) -> float:
        """Until when no deadline can pass, whatever comes after *now_s*."""
        # the first token may come at once, and then the wait for the next one counts
        return min(self.deadline().at_s, now_s + self._timeouts.stall_s)

    def expires(self, at_s: float) -> bool:
        """Whether a deadline has passed at *at_s*, which ends it."""
        deadline = self.deadline()
        if at_s < deadline.at_s:
            return False
        self.expire(deadline, at_s)
        return True

    def leave(self, message: str, at_s: float) -> None:
        """The caller stopped reading: no failure where the answer was there already, else a cancelled one."""
        reader = self._reader
        if isinstance(reader, StreamReader) and reader.whole and not reader.failed:
            self._done_s = self._done_s or self._progress_s
        else:
            self.fail(FailureKind.CANCELLED, message, at_s)

    def expire(self, deadline: Deadline, at_s: float) -> None:
        """The time that *deadline* allowed is over."""
        if deadline.kind is None:
            self.end(self._progress_s, complete=False)
        elif self._is_error:
            self.end(at_s, complete=False)  # the status says more than that its body does not end
        else:
            self.fail(deadline.kind, deadline.text, at_s)

    def deadline(self) -> Deadline:
        """Until when to wait for the next bytes."""
        limits = self._timeouts
        if self._reader is not None and self._reader.done:
            return Deadline(self._progress_s + _LINGER_S, None, _LINGER_S)
        total_s = self._began_s + limits.total_s
        if self._first_token_s is not None or self._is_error or (self._reader and not self._streamed):
            kind, allowed_s, since_s = FailureKind.TIMEOUT_STALL, limits.stall_s, self._progress_s
        elif self._streamed:
            kind, allowed_s, since_s = FailureKind.TIMEOUT_FIRST_TOKEN, limits.first_token_s, self._sent_s
        else:
            kind, allowed_s, since_s = FailureKind.TIMEOUT_TOTAL, limits.total_s, self._began_s
        if total_s < since_s + allowed_s:
            return Deadline(total_s, FailureKind.TIMEOUT_TOTAL, limits.total_s)
        return Deadline(since_s + allowed_s, kind, allowed_s)

    @property
    def waited_for(self) -> FailureKind:
        """What did not come, where the caller's own patience ended."""
        if self._first_token_s is not None:
            return FailureKind.TIMEOUT_STALL
        return FailureKind.TIMEOUT_FIRST_TOKEN if self._streamed else FailureKind.TIMEOUT_TOTAL

    @property
    def counted(self) -> bool:
        """Whether the server told all counts, or none are wanted."""
        told = self.answer.tokens
        all_told = told is not None and told.input is not None and told.output is not None
        return all_told or self.answer.failure is not None

    def tokens(self, count: Counter) -> Tokens | None:
        """The server's counts, filled up by *count*; of a failure only what the server told."""
        if self.answer.failure is not None:
            return self.answer.tokens
        return tokens_of(self._call, self.answer, count)

    def exchange(self, *, tokens: Tokens | None = None, json_valid: bool | None = None) -> Exchange:
        """The measurement. Call it when ``finished``."""
        answer = self.answer
        times = answer.times or ServerTimes()
        assert self._done_s is not None
        return Exchange(
            due_s=self._due_s,
            sent_s=self._sent_s,
            first_byte_s=self._first_byte_s,
            first_token_s=self._first_token_s,
            first_answer_s=self._first_answer_s,
            chunk_s=tuple(self._chunk_s),
            done_s=self._done_s,
            streamed=self._streamed,
            model=self._call.model,
            finish_reason=answer.finish_reason,
            tokens=tokens,
            characters=answer.characters,
            server_load_s=times.load_s,
            server_prompt_s=times.prompt_s,
            server_generate_s=times.generate_s,
            prompt=_digest(self._call.prompt),
            json_valid=json_valid,
            failure=answer.failure,
        )

    def _take_in(self, events: Sequence[Event], at_s: float) -> None:
        for event in events:
            self.answer.add(event)
            if self._streamed and isinstance(event, Delta) and event.carries:
                self._stamp(event, at_s)

    def _stamp(self, delta: Delta, at_s: float) -> None:
        self._chunk_s.append(at_s)
        if self._first_token_s is None:
            self._first_token_s = at_s
        if self._first_answer_s is None and delta.answers:
            self._first_answer_s = at_s


def _digest(prompt: object) -> str:
    """The same for the same prompt. Taken when the answer is there: it is no part of the time."""
    return blake2b(repr(prompt).encode(errors="replace"), digest_size=8).hexdigest()


def _is_stream(content_type: str, *, asked: bool) -> bool:
    """Whether the answer is a stream: what the server says, else what was asked for."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return False
    return True if kind in {"text/event-stream", "application/x-ndjson"} else asked
