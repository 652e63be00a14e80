"""From what is said to the bytes that are sent: a whole answer, or a stream of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.delivery import LAST_CHUNK, chunked
from pytest_llmperf.mock.dialect import Frames, to_bytes
from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.plan import Late, Plan, Timing

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

NOW = Timing(arrived_ns=0, started_ns=0)  #: of an answer that tells no times


def whole_plan(
    server: Mock,
    call: Call,
    made: Generation,
    body: Late,
    *,
    late: bool = False,
    content_type: bytes | None = None,
) -> Plan:
    """An answer that is sent as one; *late*: its body tells times, and is written when it is sent."""
    kind = server.dialect.json_type if content_type is None else content_type
    parts = [b""] * made.steps

    def last(timing: Timing) -> bytes:
        data = body(timing)
        return server.head(call, 200, kind, len(data)) + data

    if call.plays("no_usage"):
        body = _without_usage(body)
    if late or server.dialect.tells_times:
        plan = Plan(head=b"", parts=parts, stream=False, last=last)
        if call.fault is not None:  # a fault works on bytes
            plan.head, plan.parts[-1], plan.last = (
                server.head(call, 200, kind, len(body(NOW))),
                body(NOW),
                None,
            )
    else:
        data = body(NOW)
        parts[-1] = data
        plan = Plan(head=server.head(call, 200, kind, len(data)), parts=parts, stream=False, head_late=True)
    return plan


def stream_plan(
    server: Mock,
    call: Call,
    made: Generation,
    frames: Frames,
    end: Late | None,
    *,
    content_type: bytes | None = None,
    done: bytes | None = None,
) -> Plan:
    """An answer that is sent token by token; *end* writes the events that tell times.

    Its type, and what follows its last event, are the dialect's unless they are given.
    """
    dialect = server.dialect
    done = dialect.done if done is None else done
    frame = chunked if call.head.chunked else bytes
    parts = [b""] * made.steps
    for step, data in frames:
        parts[step] += frame(data)
    close = (frame(done) if done else b"") + (LAST_CHUNK if call.head.chunked else b"")
    kind = dialect.stream_type if content_type is None else content_type
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
    return plan


def _without_usage(body: Late) -> Late:
    def write(timing: Timing) -> bytes:
        answer = json.loads(body(timing))
        for key in ("usage", "timings", "prompt_eval_count", "eval_count"):
            answer.pop(key, None)
        return to_bytes(answer)

    return write
