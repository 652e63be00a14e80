"""Setting an answer on its way: when its tokens are due, and the cheapest way to send it then."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.delivery import Delivery, chunked
from pytest_llmperf.mock.dialect import Frames
from pytest_llmperf.mock.faults import FAULTS
from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.parcel import Parcel
from pytest_llmperf.mock.plan import Gaps, Late, Plan
from pytest_llmperf.mock.reuse import Written
from pytest_llmperf.mock.writing import NOW, stream_plan, whole_plan

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

#: Nanoseconds to the first token, and between the others; of the first: what the prompt took, and loading.
Delays = tuple[int, Gaps, int, int]


class Delivering:
    """The last step of every route that asks the model."""

    __slots__ = ("_server",)

    def __init__(self, server: Mock) -> None:
        self._server = server

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
        """Send *made* token by token; *end* writes the events that tell times."""
        plan = stream_plan(self._server, call, made, frames, end, content_type=content_type, done=done)
        if call.reusable:
            self._server.state.reuse.put(call.body, call.reuse_key, made, plan.parts, stream=True)
        self._deliver(call, made, plan, self._delays(call, made))

    def whole(
        self,
        call: Call,
        made: Generation,
        body: Late,
        *,
        late: bool = False,
        content_type: bytes | None = None,
    ) -> None:
        """Send *made* at once when its last token is due; *late*: its body tells times."""
        server = self._server
        if late or server.dialect.tells_times or call.fault is not None or not server.plain_engine:
            plan = whole_plan(server, call, made, body, late=late, content_type=content_type)
            self._deliver(call, made, plan, self._delays(call, made))
            return
        data = body(NOW)
        if call.reusable:
            server.state.reuse.put(call.body, call.reuse_key, made, (data,), stream=False)
        kind = server.dialect.json_type if content_type is None else content_type
        head = server.head(call, 200, kind, len(data))
        self._send(call, made, head + data, self._delays(call, made))

    def again(self, call: Call, written: Written) -> None:
        """Send an answer that was written down before, under a new id."""
        server = self._server
        dialect, state = server.dialect, server.state
        made, stream = written.made, written.stream
        call.reusable = False
        call.number = state.number
        new_id = b"chatcmpl-" + dialect.new_id(state.id_rng.getrandbits(64)).encode()
        now_s = int(time())
        delays = self._delays(call, made)

        def head() -> bytes:
            if stream:
                return server.head(call, 200, dialect.stream_type, None, dialect.stream_extra)
            return server.head(call, 200, dialect.json_type, written.size)

        if stream and (delays[0] or delays[1]):
            plan = Plan(head=head(), parts=written.parts(new_id, now_s), stream=True, frame=chunked)
            self._deliver(call, made, plan, delays)
        elif call.keep_alive and dialect.closes_after is None and not dialect.closes_streams:
            self._send(call, made, written.whole(new_id, now_s, head), delays)
        else:  # its head is not that of the next one
            self._send(call, made, head() + b"".join(written.parts(new_id, now_s)), delays)

    def _delays(self, call: Call, made: Generation) -> Delays:
        """Draw the delays of the next answer in order, which this is."""
        state = self._server.state
        latency = state.latency
        ttft_ns, gaps = state.draw_delays(made.steps, call.arrived_ns)
        prefill_ns = cold_ns = 0
        if latency.prefill_s:
            prefill_ns = round(latency.prefill_s * (made.ask.prompt_tokens - made.cached_tokens) * 1e9)
            ttft_ns += prefill_ns
        if state.cold:
            cold_ns = round(latency.cold_start_s * 1e9)
            ttft_ns += cold_ns
            state.cold = False
        state.number += 1
        state.running += 1
        return ttft_ns, gaps, prefill_ns, cold_ns

    def _send(self, call: Call, made: Generation, data: bytes, delays: Delays) -> None:
        """Send all of *data* when the last token is due."""
        call.status = 200
        ttft_ns, gaps, _, _ = delays
        first_ns = call.arrived_ns + ttft_ns
        rest_ns = gaps * (made.steps - 1) if isinstance(gaps, int) else sum(gaps)
        call.delivery = parcel = Parcel(call, made, data, first_ns=first_ns, due_ns=first_ns + rest_ns)
        parcel.start(self._server.timers, self._server.outbox)

    def _deliver(self, call: Call, made: Generation, plan: Plan, delays: Delays) -> None:
        """Send the parts of *plan* as their tokens become due, with faults, by way of the engine."""
        server = self._server
        call.status = plan.status
        plan.ttft_ns, plan.gaps, prefill_ns, cold_ns = delays
        if call.fault is not None and call.fault.kind in FAULTS:
            FAULTS[call.fault.kind](plan, call.fault)
        engine = None if server.plain_engine else server.state.engine
        call.delivery = delivery = Delivery(
            call, plan, timers=server.timers, watcher=engine, made=made, tokens=made.ask.prompt_tokens
        )
        delivery.prefill_ns = server.state.latency.prefill_s * 1e9
        delivery.timing.prefilled_ns, delivery.timing.cold_ns = prefill_ns, cold_ns
        if plan.stream and (plan.ttft_ns or plan.extra_ns or plan.early):
            delivery.begin()
        if engine is None:
            delivery.start(call.arrived_ns)
        else:
            engine.submit(delivery)
