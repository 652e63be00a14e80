"""Sending an answer's parts when their tokens are due."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Protocol

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.metrics import Finished
from pytest_llmperf.mock.plan import Plan, Timing
from pytest_llmperf.mock.timers import Timers


def chunked(frame: bytes) -> bytes:
    """*frame* as one chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(frame), frame)


LAST_CHUNK = b"0\r\n\r\n"


class Watcher(Protocol):
    """Who wants to know how an answer goes on."""

    def pace(self, delivery: Delivery, gap_ns: int) -> int:
        """The gap before the next step, as the load of the engine makes it."""

    def ended(self, delivery: Delivery) -> None:
        """All is sent, or the client or a fault ended it."""


class Delivery:
    """One answer on its way: ``parts[step]`` leaves when that step of the engine is done.

    A deadline is the one before plus the gap, never "now plus the gap": lateness does not add up.
    """

    __slots__ = (
        "_at",
        "_drip_left",
        "_flat_gap",
        "_next_ns",
        "_timers",
        "_watcher",
        "abandoned",
        "call",
        "held",
        "made",
        "paused",
        "plan",
        "prefill_ns",
        "stolen_ns",
        "timing",
        "tokens",
    )

    def __init__(
        self,
        call: Call,
        plan: Plan,
        *,
        timers: Timers,
        watcher: Watcher | None,
        made: Generation | None = None,
        tokens: int = 0,
    ) -> None:
        self.call = call
        self.plan = plan
        self.made = made  #: None: a recorded answer
        self.abandoned = False  #: it ended before its end
        self.timing = Timing(arrived_ns=call.arrived_ns, started_ns=call.arrived_ns)
        self.tokens = tokens  #: of the prompt
        self.prefill_ns = 0.0  #: for each of them
        self.held = 0  #: for the engine: tokens in its cache now
        self.paused = False  #: preempted: the engine will let it go on
        self.stolen_ns = 0  #: for the engine: time that others' prefill had taken when last asked
        self._timers = timers
        self._watcher = watcher
        self._at = 0
        self._next_ns = 0  # when the next step is due; a timer that says otherwise is out of date
        # with neither an engine nor a fault to ask, gaps are summed without a call
        self._flat_gap = (
            plan.gaps if watcher is None and isinstance(plan.gaps, int) and not plan.extra_ns else None
        )
        self._drip_left = b""
        call.on_gone = self._gone

    def start(self, started_ns: int) -> None:
        """Begin: the first part leaves its time to first token after *started_ns*."""
        plan = self.plan
        self.timing.started_ns = started_ns
        first_ns = started_ns + plan.ttft_ns + (plan.extra_ns.get(0, 0) if plan.extra_ns else 0)
        due = self._due
        if not plan.stream and self._watcher is None and not plan.extra_ns and plan.end_after is None:
            # nothing is sent before the last token, so the steps need no timers of their own
            gaps = plan.gaps
            self.timing.first_ns = first_ns
            first_ns += gaps * (len(plan.parts) - 1) if isinstance(gaps, int) else sum(gaps)
            due = self._whole_due
        elif self._flat_gap == 0 and plan.end_after is None:
            plan.parts = [b"".join(plan.parts)]  # they are all due at once
        self._next_ns = first_ns
        if first_ns <= perf_counter_ns():
            due(first_ns)
        else:
            self._timers.at(first_ns, due)

    def pause(self) -> None:
        """Stop where it is: the engine needs its room in the cache."""
        self.paused = True
        self._next_ns = 0

    def resume(self, now_ns: int) -> None:
        """Go on: what it held in the cache is computed again first."""
        self.paused = False
        if not self.timing.first_ns:
            self.start(now_ns)
            return
        self._next_ns = now_ns + round(self.prefill_ns * (self.tokens + self._at))
        self._timers.at(self._next_ns, self._due)

    def begin(self) -> None:
        """Send what leaves before the first token: the head of a stream, and parts that come early."""
        plan = self.plan
        if plan.head and not plan.head_late and plan.drip is None:
            self.call.write(plan.head)
            plan.head = b""
        for after_ns, data in plan.early:
            due_ns = self.call.arrived_ns + after_ns
            if due_ns <= perf_counter_ns():  # what follows may be due as well, and must not overtake it
                self.call.write(data)
            else:
                self._timers.at(due_ns, lambda _, data=data: self.call.write(data))  # type: ignore[misc] # mypy cannot see the default

    def finished(self) -> Finished | None:
        """The facts of it, once it has ended; None for a recorded answer, of which they are not known."""
        made, timing = self.made, self.timing
        if made is None:
            return None
        whole = bool(timing.last_ns) and not self.abandoned
        first_ns = timing.first_ns or timing.started_ns
        return Finished(
            made.reason if whole else "abort",
            made.ask.prompt_tokens,
            made.completion_tokens if whole else self.step,
            made.cached_tokens,
            timing.started_ns - timing.arrived_ns,
            first_ns - timing.started_ns,
            (timing.last_ns or first_ns) - first_ns,
            made.ask.max_tokens,
            made.ask.n,
            len(made.choices),
        )

    def held_at(self, now_ns: int) -> int:
        """Tokens of prompt and answer that an engine would have in its cache."""
        steps, first_ns = len(self.plan.parts), self.timing.first_ns
        done = self._at
        if not done and 0 < first_ns <= now_ns:  # it is sent as a whole
            done = (steps - 1) * (now_ns - first_ns) // max(1, self._next_ns - first_ns) + 1
        return self.tokens + min(steps, done)

    def _due(self, deadline_ns: int) -> None:
        call, plan, at = self.call, self.plan, self._at
        if call.done or deadline_ns != self._next_ns:
            return
        parts = plan.parts
        count = len(parts)
        end = count if plan.end_after is None else plan.end_after
        if at >= end:
            self._cut()
            return
        if not at:
            self.timing.first_ns = deadline_ns
        data = parts[at]
        while True:
            at += 1
            if at >= end:
                break
            flat = self._flat_gap
            deadline_ns += self._gap(at) if flat is None else flat
            if self.paused or deadline_ns > perf_counter_ns():
                self._wait(at, deadline_ns, data)
                return
            data += parts[at]
        self._at = at
        self.timing.last_ns = deadline_ns
        if end < count:
            if data:
                self._send(data)
            self._cut()
            return
        self._finish(data)

    def _wait(self, at: int, deadline_ns: int, data: bytes) -> None:
        """Send *data*; step *at* follows at its deadline, or when the engine says so."""
        self._at = at
        if not self.paused:
            self._next_ns = deadline_ns
            self._timers.at(deadline_ns, self._due)
        if data:
            self._send(data)

    def _whole_due(self, deadline_ns: int) -> None:
        if not self.call.done:
            self.timing.last_ns = deadline_ns
            self._finish(self.plan.parts[-1])

    def _gap(self, step: int) -> int:
        plan = self.plan
        gap_ns = plan.gaps if isinstance(plan.gaps, int) else plan.gaps[step - 1]
        if self._watcher is not None:
            gap_ns = self._watcher.pace(self, gap_ns)
        return gap_ns + plan.extra_ns.get(step, 0)

    @property
    def step(self) -> int:
        """Which step is next."""
        return self._at

    def _send(self, data: bytes) -> None:
        self._stamp()
        head = self.plan.head
        if head:
            self.plan.head = b""
            data = head + data
        self.call.write(data)

    def _stamp(self) -> None:
        call = self.call
        if not call.first_token_ns:
            call.first_token_ns = perf_counter_ns()
            if not call.first_byte_ns:
                call.first_byte_ns = call.first_token_ns

    def _finish(self, data: bytes) -> None:
        plan = self.plan
        if plan.last is not None:
            data += plan.last(self.timing)
        if plan.drip is not None:
            self._drip_left, plan.head = plan.head + data, b""
            self._trickle(perf_counter_ns())
            return
        self._stamp()
        self._tell_end()
        if plan.end_after is not None:
            self._send(data)
            self.call.cut(reset=plan.reset)
        else:
            self.call.end(plan.head + data)

    def _trickle(self, deadline_ns: int) -> None:
        """Slow loris: a few bytes now, the rest later."""
        if self.call.done:
            return
        assert self.plan.drip is not None
        size, gap_ns = self.plan.drip
        data, self._drip_left = self._drip_left[:size], self._drip_left[size:]
        if self._drip_left:
            self.call.write(data)
            self._timers.at(deadline_ns + gap_ns, self._trickle)
        else:
            self._tell_end()
            self.call.end(data)

    def _cut(self) -> None:
        if self.plan.head and self.plan.parts and self.plan.end_after:
            self._send(b"")
        self.abandoned = True
        self._tell_end()
        self.call.cut(reset=self.plan.reset)

    def _gone(self) -> None:
        self.abandoned = True
        self._tell_end()

    def _tell_end(self) -> None:
        self.call.on_gone = None
        if self._watcher is not None:
            self._watcher.ended(self)
