"""What the running iterations did, each apart.

Many iterations may run at once, on threads and in tasks. What is recorded goes to the iteration that the
running *context* belongs to (``contextvars``): tasks, ``asyncio.to_thread`` and callbacks inherit it. A
thread that a test starts by itself has an empty context: what it records goes to the item's own log,
counts for the scenario, and for an iteration only where no other one could have run meanwhile.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import NamedTuple, Self

from pytest_llmperf.core.connections import ConnectionLog
from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.iteration import NamedCheck, TimedStep


class Taken(NamedTuple):
    """What was recorded, each kind in the order in which it ended."""

    exchanges: tuple[Exchange, ...] = ()
    checks: tuple[NamedCheck, ...] = ()
    steps: tuple[TimedStep, ...] = ()
    errors: tuple[BaseException, ...] = ()  #: what the steps raised

    def and_also(self, more: Taken) -> Taken:
        """Both, one behind the other."""
        return Taken(
            exchanges=self.exchanges + more.exchanges,
            checks=self.checks + more.checks,
            steps=self.steps + more.steps,
            errors=self.errors + more.errors,
        )


class OwnLog:
    """What one iteration did: a recorder for clients (`client.recorder.Recorder`), from any thread.

    `IterationLog.here` gives the one of the running context. Whoever measures from outside the context
    (a relay in a thread or process of its own) keeps it under a token, and calls `add` later. What comes
    after the iteration's end goes to the item's own log.
    """

    def __init__(self, of: IterationLog, *, late_s: float = 0.0) -> None:
        self.of = of
        self._late_s = late_s  #: what the first request is still to be charged with
        self._has_stepped = False
        self._exchanges: dict[int, Exchange] = {}
        self._checks: list[NamedCheck] = []
        self._steps: list[TimedStep] = []
        self._errors: list[BaseException] = []
        self._closed = False
        self._token: Token[OwnLog | None] | None = None

    def __enter__(self) -> Self:
        """What the running context records inside goes here."""
        with self.of.lock:
            self.of.running.add(self)
        self._token = _RUNNING.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _RUNNING.reset(self._token)

    @property
    def closed(self) -> bool:
        """Whether the iteration is over."""
        return self._closed

    def due_s(self, entered_s: float) -> float:
        """When a request that was asked for at *entered_s* was wanted: earlier, if the iteration began late.

        In an open loop (arrivals at set times) the iteration's delay is part of the first request's
        latency, so that nothing which held the iteration up is left out. Later requests, and all in a
        closed loop, are due when they are asked for.
        """
        late_s, self._late_s = self._late_s, 0.0
        return entered_s - late_s

    def step_due_s(self, entered_s: float) -> float:
        """The same for a timed step, if nothing came before it; a first request inside is late by as much."""
        late_s = 0.0 if self._has_stepped else self._late_s
        self._has_stepped = True
        return entered_s - late_s

    def add(self, exchange: Exchange) -> int:
        """Record *exchange*; the handle is for `amend`."""
        with self.of.lock:
            if self._closed:
                return self.of.loose.add(exchange)
            handle = next(self.of.handles)
            self._exchanges[handle] = exchange
            return handle

    def amend(self, handle: int, exchange: Exchange) -> bool:
        """Replace what was recorded, when more became known; whether it was not too late for that."""
        with self.of.lock:
            known = handle in self._exchanges
            if known:
                self._exchanges[handle] = exchange
            return known

    def check(self, check: NamedCheck) -> None:
        """Record the result of a named check."""
        with self.of.lock:
            if self._closed:
                self.of.loose.check(check)
            else:
                self._checks.append(check)

    def step(self, step: TimedStep, error: BaseException | None) -> None:
        """Record one run of a timed step, and what it raised."""
        with self.of.lock:
            if self._closed:
                self.of.loose.step(step, error)
                return
            self._steps.append(step)
            self._late_s = 0.0  # a request that comes now is not the first thing that was wanted
            if error is not None:
                self._errors.append(error)

    def take(self) -> Taken:
        """Everything recorded since the last call, in the order in which requests ended."""
        with self.of.lock:
            taken = Taken(
                tuple(self._exchanges.values()), tuple(self._checks), tuple(self._steps), tuple(self._errors)
            )
            self._exchanges.clear()
            self._checks.clear()
            self._steps.clear()
            self._errors.clear()
            return taken

    def close(self) -> Taken:
        """The same, for the last time: what comes later goes to the item's own log."""
        for settle in self.of.settlers:
            settle(self)
        with self.of.lock:
            self._closed = True
            self.of.running.discard(self)
            return self.take()


#: The iteration that the running context belongs to.
_RUNNING: ContextVar[OwnLog | None] = ContextVar("pytest_llmperf_iteration", default=None)


class IterationLog:
    """The log of one item: where all its clients record, and where it is told apart by iteration.

    It is a recorder itself, that hands everything to the log of the running context (`here`).
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.handles = itertools.count()
        #: What no iteration can be told for: the item's own log.
        self.loose = OwnLog(self)
        self.running: set[OwnLog] = set()
        #: Called before an iteration closes, to record what was seen from outside and is not recorded yet.
        self.settlers: list[Callable[[OwnLog], None]] = []
        #: Each gives what the report should say about how requests were recorded.
        self.remarks: list[Callable[[], Sequence[str]]] = []
        #: What the clients had to open.
        self.connections = ConnectionLog()
        #: Conditions of measuring that the fixtures know, see `core.baseline`.
        self.facts: dict[str, str] = {}

    def iteration(self, *, late_s: float = 0.0) -> OwnLog:
        """One iteration: what the running context records inside a ``with`` block goes to the log given.

        *late_s*: how long after its due time it begins, in an open loop. Take its contents with
        `OwnLog.close`. Threads that run a part of it do so in ``contextvars.copy_context().run``.
        """
        return OwnLog(self, late_s=late_s)

    def here(self) -> OwnLog:
        """The log of the iteration that the running context belongs to; else the item's own."""
        running = _RUNNING.get()
        return running if running is not None and running.of is self else self.loose

    def due_s(self, entered_s: float) -> float:
        """See `OwnLog.due_s`."""
        return self.here().due_s(entered_s)

    def add(self, exchange: Exchange) -> int:
        """See `OwnLog.add`."""
        return self.here().add(exchange)

    def amend(self, handle: int, exchange: Exchange) -> None:
        """Replace what any context recorded; too late after the end of its iteration."""
        with self.lock:
            if not self.here().amend(handle, exchange):
                any(log.amend(handle, exchange) for log in (self.loose, *self.running))

    def check(self, check: NamedCheck) -> None:
        """See `OwnLog.check`."""
        self.here().check(check)
