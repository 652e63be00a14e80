"""Where the clients put what they measured."""

from __future__ import annotations

from typing import Protocol

from pytest_llmperf.core.exchange import Exchange


class Recorder(Protocol):
    """Takes every request, also the failed ones."""

    def add(self, exchange: Exchange) -> int:
        """Take one request; returns a handle for ``amend``."""
        ...

    def amend(self, handle: int, exchange: Exchange) -> None:
        """Replace it: something became known later (whether its JSON is valid)."""
        ...


class Recording:
    """A recorder that keeps everything in a list."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def add(self, exchange: Exchange) -> int:
        """Append; the handle is the index."""
        self.exchanges.append(exchange)
        return len(self.exchanges) - 1

    def amend(self, handle: int, exchange: Exchange) -> None:
        """Replace the one at *handle*."""
        self.exchanges[handle] = exchange
