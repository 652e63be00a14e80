"""The clock, the counts and the end of one run under load, shared by all that take part in it."""

from __future__ import annotations

import itertools
import operator
import threading
import time
from array import array
from collections.abc import Callable


class Control:
    """What users and arrivals ask before they begin, and tell when they do; from any thread.

    Times are on the clock of ``time.perf_counter()``.
    """

    def __init__(self, *, until_s: float | None = None, shared: int | None = None) -> None:
        """*until_s*: seconds after which no user begins again; *shared*: iterations of all together."""
        self._lock = threading.Lock()
        self._length_s = until_s
        self._left = None if shared is None else itertools.repeat(None, shared)
        self._on_stop: list[Callable[[], None]] = []
        self._on_drained: list[Callable[[], None]] = []
        self.stopped = threading.Event()
        self.drained = threading.Event()  #: nothing is left to begin, also when it was not stopped
        self.reason = ""  #: why it was stopped before its end
        self.error: BaseException | None = None  #: what ended the whole item
        self.began_s = 0.0
        self.running = 0  #: iterations under way
        self.peak = 0  #: the most of them at once
        self.started = 0
        self.dropped = 0  #: arrivals that came when too many iterations were under way
        self.interrupted = 0  #: iterations that the end cut off
        self.late_s = array("d")  #: how long after their due time iterations began
        self.closed = False  #: whether results come too late

    def begin(self) -> None:
        """The run begins now."""
        self.began_s = time.perf_counter()

    @property
    def ends_s(self) -> float | None:
        """When no user begins again; None where a number of iterations decides."""
        return None if self._length_s is None else self.began_s + self._length_s

    @property
    def over(self) -> bool:
        """Whether no user begins again: it was stopped, its time is up, or all that is shared has begun."""
        if self._left is not None and not operator.length_hint(self._left):
            return True
        if self._length_s is not None and time.perf_counter() >= self.began_s + self._length_s:
            return True
        return self.stopped.is_set()

    def may_begin(self) -> bool:
        """Whether a user may run the body once more; counts it against what is shared."""
        if self.over:
            return False
        if self._left is None:
            return True
        with self._lock:
            began = next(self._left, self) is None
            was_last = began and not operator.length_hint(self._left)
        if was_last:
            self._drain()
        return began

    def enter(self, due_s: float | None) -> float:
        """An iteration begins; how late it is in seconds, if it was due at a set time."""
        late_s = 0.0 if due_s is None else max(0.0, time.perf_counter() - due_s)
        with self._lock:
            self.started += 1
            self.running += 1
            self.peak = max(self.peak, self.running)
            if due_s is not None:
                self.late_s.append(late_s)
        return late_s

    def leave(self) -> None:
        """An iteration is over."""
        with self._lock:
            self.running -= 1

    def on_stop(self, listener: Callable[[], None]) -> None:
        """Call *listener* when the run is stopped."""
        self._on_stop.append(listener)

    def on_drained(self, listener: Callable[[], None]) -> None:
        """Call *listener* when nothing is left to begin: whoever pauses before the next time may go."""
        self._on_drained.append(listener)

    def stop(self, reason: str) -> None:
        """Nothing more begins, for *reason*."""
        if not self.stopped.is_set():
            self.reason = reason
            self.stopped.set()
            for listener in self._on_stop:
                listener()
            self._drain()

    def _drain(self) -> None:
        self.drained.set()
        for listener in self._on_drained:
            listener()

    def fail(self, error: BaseException) -> None:
        """Something ended the whole item, such as ``pytest.skip``."""
        self.error = self.error or error
        self.stop("")
