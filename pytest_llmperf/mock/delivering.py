"""Setting an answer on its way: when its tokens are due, and the cheapest way to send it then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.delivery import Delivery
from pytest_llmperf.mock.faults import FAULTS
from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.parcel import Parcel
from pytest_llmperf.mock.plan import Gaps, Plan

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

#: Nanoseconds to the first token, and between the others; of the first: what the prompt took, and loading.
Delays = tuple[int, Gaps, int, int]


class Delivering:
    """The last step of every route that asks the model."""

    __slots__ = ("_server",)

    def __init__(self, server: Mock) -> None:
        self._server = server

    def delays(self, call: Call, made: Generation) -> Delays:
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
        call.counted = state
        return ttft_ns, gaps, prefill_ns, cold_ns

    def send(self, call: Call, made: Generation, data: bytes, delays: Delays) -> None:
        """Send all of *data* when the last token is due."""
        call.status = 200
        ttft_ns, gaps, _, _ = delays
        first_ns = call.arrived_ns + ttft_ns
        rest_ns = gaps * (made.steps - 1) if isinstance(gaps, int) else sum(gaps)
        call.delivery = parcel = Parcel(call, made, data, first_ns=first_ns, due_ns=first_ns + rest_ns)
        parcel.start(self._server.timers, self._server.outbox)

    def deliver(self, call: Call, made: Generation, plan: Plan, delays: Delays) -> None:
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

    def pass_on(self, call: Call, plan: Plan) -> None:
        """Send the parts of *plan*, which no engine computes, and of which no metric tells; with faults."""
        server = self._server
        call.status = plan.status
        if call.fault is not None:
            FAULTS[call.fault.kind](plan, call.fault)
        server.state.running += 1
        call.counted = server.state
        call.delivery = delivery = Delivery(call, plan, timers=server.timers, watcher=None)
        if plan.ttft_ns or plan.extra_ns or plan.early:
            delivery.begin()
        delivery.start(call.arrived_ns)
