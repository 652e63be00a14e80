"""A circuit breaker: who fails again and again is left alone for a while, and then tried carefully.

Our own, because pybreaker 1.4 holds its lock for the whole call, so that requests to a model would wait for
each other, and purgatory 3 closes at the first success.
"""

from __future__ import annotations

import time
from enum import Enum
from threading import Lock


class State(Enum):
    CLOSED = "closed"  # calls go through
    OPEN = "open"  # none does
    HALF_OPEN = "half-open"  # a few do, to see


class CircuitOpenError(Exception):
    """Not asked: the server has failed too often just now."""


class Breaker:
    """Opens after *failures* in a row, tries again after *recovery_s*, closes after *successes* in a row.

    *counts* says which errors are the server's fault; others leave the breaker as it is.
    """

    def __init__(self, *, counts, failures=5, recovery_s=1.0, successes=2, trials=1, clock=time.monotonic):
        self._counts, self._clock = counts, clock
        self._failures, self._recovery_s, self._successes, self._trials = (
            failures,
            recovery_s,
            successes,
            trials,
        )
        self._lock = Lock()
        self._state, self._in_a_row, self._inside, self._opened_s = State.CLOSED, 0, 0, 0.0
        self.opened = 0  # how often

    @property
    def state(self):
        return self._state

    def call(self, function, *arguments):
        """*function*(*arguments*). Raises CircuitOpenError without a call when the circuit is open."""
        entered = self.enter()
        try:
            result = function(*arguments)
        except BaseException as error:
            self._leave(entered, failed=isinstance(error, Exception) and self._counts(error), ok=False)
            raise
        self._leave(entered, failed=False, ok=True)
        return result

    def enter(self):
        """The state in which a call may be made. Raises CircuitOpenError when none may."""
        with self._lock:
            if self._state is State.OPEN and self._clock() - self._opened_s >= self._recovery_s:
                self._turn(State.HALF_OPEN)
            if self._state is State.OPEN or (self._state is State.HALF_OPEN and self._inside >= self._trials):
                raise CircuitOpenError
            self._inside += self._state is State.HALF_OPEN
            return self._state

    def _leave(self, entered, *, failed, ok):
        with self._lock:
            if entered is not self._state:
                return  # an answer from before the state changed says nothing about now
            if entered is State.HALF_OPEN:
                self._inside -= 1
                self._in_a_row += ok
                if failed:
                    self._turn(State.OPEN)
                elif self._in_a_row >= self._successes:
                    self._turn(State.CLOSED)
            elif failed:
                self._in_a_row += 1
                if self._in_a_row >= self._failures:
                    self._turn(State.OPEN)
            elif ok:
                self._in_a_row = 0

    def _turn(self, state):
        self._state, self._in_a_row, self._inside = state, 0, 0
        if state is State.OPEN:
            self._opened_s = self._clock()
            self.opened += 1


class Breakers:
    """One breaker for each model: a model that fails does not take the others along."""

    def __init__(self, **settings):
        self._settings = settings
        self._breakers = {}
        self._lock = Lock()

    def of(self, model):
        with self._lock:
            if model not in self._breakers:
                self._breakers[model] = Breaker(**self._settings)
            return self._breakers[model]
