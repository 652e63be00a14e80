"""Answers that are over at once are read one after another, with a look at the sockets in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Turnstile:
    """Lets one through in each turn of the running event loop.

    To read an answer and to begin the next iteration takes longer than to stamp what arrives: a dozen of them
    in one turn would be milliseconds in the first token of everybody else.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], object]] = deque()

    def enter(self, go: Callable[[], object]) -> None:
        """Call *go* when it is its turn."""
        self._waiting.append(go)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._waiting[0]()
        self._waiting.popleft()
        if self._waiting:
            self._loop.call_soon(self._turn)
