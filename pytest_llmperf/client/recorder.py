"""Where the clients put what they measured."""

from __future__ import annotations

from typing import Protocol

from pytest_llmperf.core.exchange import Exchange


class Recorder(Protocol):
    """Takes every request, also the failed ones."""

    def due_s(self, entered_s: float) -> float:
        """When a request was wanted whose call was entered at *entered_s*; earlier, in an open loop."""
        ...

    def add(self, exchange: Exchange) -> int:
        """Take one request; returns a handle for ``amend``."""
        ...

    def amend(self, handle: int, exchange: Exchange) -> object:
        """Replace it: something became known later (whether its JSON is valid)."""
        ...


class Recording:
    """A recorder that keeps everything in a list."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def due_s(self, entered_s: float) -> float:
        """Nothing is late: a request is due when it is asked for."""
        return entered_s

    def add(self, exchange: Exchange) -> int:
        """Append; the handle is the index."""
        self.exchanges.append(exchange)
        return len(self.exchanges) - 1

    def amend(self, handle: int, exchange: Exchange) -> None:
        """Replace the one at *handle*."""
        self.exchanges[handle] = exchange
