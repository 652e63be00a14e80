"""An answer that is sent as one, when neither an engine nor a fault has a say in it."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.metrics import Finished
from pytest_llmperf.mock.timers import Timers


class Parcel:
    """A whole answer: it leaves when its last token is due, which is known from the start.

    `Delivery` can do the same and much more, and costs several times as much.
    """

    __slots__ = ("_call", "_data", "_due_ns", "_first_ns", "_left", "made")

    def __init__(self, call: Call, made: Generation, data: bytes, *, first_ns: int, due_ns: int) -> None:
        self._call = call
        self._data = data
        self._first_ns = first_ns  # when the first token is due
        self._due_ns = due_ns  # the last one
        self._left = False
        self.made = made

    def start(self, timers: Timers, outbox: Outbox) -> None:
        """Send it when it is due, and not before."""
        due_ns = self._due_ns
        if due_ns <= perf_counter_ns():
            outbox.put(self)
        else:
            timers.at(due_ns, self.leave)

    def finished(self) -> Finished:
        """The facts of it, once it is sent or its client is gone."""
        made = self.made
        first_ns = self._first_ns
        wait_ns = first_ns - self._call.arrived_ns
        if not self._left:
            return Finished("abort", made.ask.prompt_tokens, 0, made.cached_tokens, 0, wait_ns, 0)
        return Finished(
            made.reason,
            made.ask.prompt_tokens,
            made.completion_tokens,
            made.cached_tokens,
            0,
            wait_ns,
            self._due_ns - first_ns,
            made.ask.max_tokens,
            made.ask.n,
            len(made.choices),
        )

    def held_at(self, now_ns: int) -> int:
        """Tokens of prompt and answer that an engine would have in its cache."""
        steps, length_ns = self.made.steps, max(1, self._due_ns - self._first_ns)
        done = (steps - 1) * (now_ns - self._first_ns) // length_ns + 1
        return self.made.ask.prompt_tokens + min(steps, max(0, done))

    def leave(self, _: int = 0) -> None:
        """Send it now, if its client is still there."""
        call = self._call
        if not call.done:
            self._left = True
            call.end_whole(self._data)


class Outbox:
    """Answers that are due at once: those to requests that came together leave together.

    They leave when every request that has come is read. To write to a client that waits is to wake it, which
    costs more than the write; one that is served several answers in a row is woken once.
    """

    __slots__ = ("_loop", "_parcels")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parcels: list[Parcel] = []

    def put(self, parcel: Parcel) -> None:
        """Send *parcel* in this turn of the loop."""
        if not self._parcels:
            self._loop.call_soon(self._leave)
        self._parcels.append(parcel)

    def _leave(self) -> None:
        parcels, self._parcels = self._parcels, []
        for parcel in parcels:
            parcel.leave()
