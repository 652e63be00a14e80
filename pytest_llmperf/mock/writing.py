"""From what is said to the bytes that are sent: a whole answer, a stream, or one that was written before."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.delivering import Delivering
from pytest_llmperf.mock.delivery import LAST_CHUNK, chunked
from pytest_llmperf.mock.dialect import NDJSON, Frames
from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.plan import NO_TIMES, Late, Plan, Timing
from pytest_llmperf.mock.reuse import Written
from pytest_llmperf.mock.uncounted import uncounted, uncounted_events

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock


class Writing:
    """Writes every answer of a model down, and sets it on its way."""

    __slots__ = ("_delivering", "_server")

    def __init__(self, server: Mock) -> None:
        self._server = server
        self._delivering = Delivering(server)

    def stream(
        self,
        call: Call,
        made: Generation,
        frames: Frames,
        end: Late | None,
        *,
        content_type: bytes | None = None,
        done: bytes | None = None,
    ) -> None:
        """*made*, token by token; *end* writes the events that tell times.

        Its type, and what follows its last event, are the dialect's unless they are given.
        """
        server, dialect = self._server, self._server.dialect
        kind = dialect.stream_type if content_type is None else content_type
        done = dialect.done if done is None else done
        if call.fault is not None:
            frames, end, done = _spoilt(call, frames, end, done, lines=kind == NDJSON)
        frame = chunked if call.head.chunked else bytes
        parts = [b""] * made.steps
        for step, data in frames:
            parts[step] += frame(data)
        close = (frame(done) if done else b"") + (LAST_CHUNK if call.head.chunked else b"")
        if not call.head.chunked:
            call.keep_alive = False
        head = server.head(call, 200, kind, None, dialect.stream_extra)
        if not call.head.chunked:
            head = b"\r\n".join(
                line for line in head.split(b"\r\n") if not line.lower().startswith(b"transfer-enc")
            )
        plan = Plan(head=head, parts=parts, stream=True, frame=frame)
        if end is None:
            parts[-1] += close
        else:
            plan.last = lambda timing: frame(end(timing)) + close
        if call.fault is not None:
            plan.lines = kind == NDJSON
            plan.error = lambda refused: server.in_words(call, refused)[1]
        if call.reusable:
            server.state.reuse.put(call.body, call.reuse_key, made, parts, stream=True)
        self._delivering.deliver(call, made, plan, self._delivering.delays(call, made))

    def whole(
        self,
        call: Call,
        made: Generation,
        body: Late,
        *,
        late: bool = False,
        content_type: bytes | None = None,
    ) -> None:
        """*made* as one; *late*: its body tells times, and is written when it is sent."""
        server = self._server
        kind = server.dialect.json_type if content_type is None else content_type
        late = late or server.dialect.tells_times
        if late or call.fault is not None or not server.plain_engine:
            plan = self._whole_plan(call, made, body, kind, late=late)
            self._delivering.deliver(call, made, plan, self._delivering.delays(call, made))
            return
        data = body(NO_TIMES)
        if call.reusable:
            server.state.reuse.put(call.body, call.reuse_key, made, (data,), stream=False)
        head = server.head(call, 200, kind, len(data))
        self._delivering.send(call, made, head + data, self._delivering.delays(call, made))

    def again(self, call: Call, written: Written) -> None:
        """An answer that was written down before, under a new id."""
        server, delivering = self._server, self._delivering
        dialect, state = server.dialect, server.state
        made, stream = written.made, written.stream
        call.reusable = False
        call.number = state.number
        new_id = b"chatcmpl-" + dialect.new_id(state.id_rng.getrandbits(64)).encode()
        now_s = int(time())
        delays = delivering.delays(call, made)

        def head() -> bytes:
            if stream:
                return server.head(call, 200, dialect.stream_type, None, dialect.stream_extra)
            return server.head(call, 200, dialect.json_type, written.size)

        if stream and (delays[0] or delays[1]):
            plan = Plan(head=head(), parts=written.parts(new_id, now_s), stream=True, frame=chunked)
            delivering.deliver(call, made, plan, delays)
        elif call.keep_alive and dialect.closes_after is None and not dialect.closes_streams:
            delivering.send(call, made, written.whole(new_id, now_s, head), delays)
        else:  # its head is not that of the next one
            delivering.send(call, made, head() + b"".join(written.parts(new_id, now_s)), delays)

    def _whole_plan(self, call: Call, made: Generation, body: Late, kind: bytes, *, late: bool) -> Plan:
        server = self._server
        parts = [b""] * made.steps
        if call.plays("no_usage"):
            body = uncounted(body)
        if late and call.fault is None:  # a fault works on bytes

            def last(timing: Timing) -> bytes:
                data = body(timing)
                return server.head(call, 200, kind, len(data)) + data

            return Plan(head=b"", parts=parts, stream=False, last=last)
        parts[-1] = body(NO_TIMES)
        head = server.head(call, 200, kind, len(parts[-1]))
        return Plan(head=head, parts=parts, stream=False, head_late=True)


def _spoilt(
    call: Call, frames: Frames, end: Late | None, done: bytes, *, lines: bool
) -> tuple[Frames, Late | None, bytes]:
    """The events of a stream in which a fault leaves some out: its counts, or what marks its end."""
    if call.plays("no_done"):
        return frames, None if lines else end, b""  # a stream of lines has its mark in the last one
    if call.plays("no_usage"):
        return (
            [(step, kept) for step, data in frames if (kept := uncounted_events(data))],
            None if end is None else lambda timing: uncounted_events(end(timing)),
            done,
        )
    return frames, end, done
