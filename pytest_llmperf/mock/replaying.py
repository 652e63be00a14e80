"""The route of recorded answers: a request that the recording knows gets what was said then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.delivering import Delivering
from pytest_llmperf.mock.faults import PLAYABLE
from pytest_llmperf.mock.instead import played_instead
from pytest_llmperf.mock.one_off import role_and_fault
from pytest_llmperf.mock.replay import Replay, is_stream, make_whole

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

ASKING = frozenset(
    {
        b"/v1/chat/completions",
        b"/v1/completions",
        b"/v1/embeddings",
        b"/api/chat",
        b"/api/embed",
        b"/api/embeddings",
        b"/api/generate",
    }
)


class Replaying:
    """Answers from a recording."""

    __slots__ = ("_delivering", "_server")

    def __init__(self, server: Mock) -> None:
        self._server = server
        self._delivering = Delivering(server)

    def answer(self, call: Call, replay: Replay, methods: Any) -> bool:
        """Whether the recording answers *call*. *methods*: None when the mock has no such path itself.

        What asks the model must be recorded; Refusal when it is not. What only tells about the
        server (health, models, metrics) is answered by the mock itself where it is not recorded.
        """
        exchange = replay.find(call)
        if exchange is None:
            if methods is None or call.target.partition(b"?")[0] in ASKING:
                raise replay.missing(call)
            return False
        state = self._server.state
        call.number = state.number
        state.number += 1
        plan, streamed = replay.plan(exchange, call), is_stream(exchange)
        _, fault = role_and_fault(call)
        if fault is None:
            now_s = state.age_s(call.arrived_ns)
            fault = state.playbook.pick(None, stream=streamed, now_s=now_s, kinds=PLAYABLE)
        if fault is not None and fault.kind in PLAYABLE:
            call.fault = fault
            if played_instead(self._server, call, fault):
                return True
            plan.error = lambda refused: self._server.in_words(call, refused)[1]
            if not streamed:
                make_whole(plan)
        self._delivering.pass_on(call, plan)
        return True
