"""What the running iteration did."""

from __future__ import annotations

import itertools
import threading

from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.iteration import NamedCheck


class IterationLog:
    """Where every client of a test records its requests, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles = itertools.count()
        self._exchanges: dict[int, Exchange] = {}
        self._checks: list[NamedCheck] = []

    def add(self, exchange: Exchange) -> int:
        """Record *exchange*; the handle is for `amend`."""
        with self._lock:
            handle = next(self._handles)
            self._exchanges[handle] = exchange
            return handle

    def amend(self, handle: int, exchange: Exchange) -> None:
        """Replace what was recorded, when more became known; too late after the iteration's end."""
        with self._lock:
            if handle in self._exchanges:
                self._exchanges[handle] = exchange

    def check(self, check: NamedCheck) -> None:
        """Record the result of a named check."""
        with self._lock:
            self._checks.append(check)

    def take(self) -> tuple[tuple[Exchange, ...], tuple[NamedCheck, ...]]:
        """Everything recorded since the last call, in the order in which requests ended."""
        with self._lock:
            taken = tuple(self._exchanges.values()), tuple(self._checks)
            self._exchanges.clear()
            self._checks.clear()
            return taken
