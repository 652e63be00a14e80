"""Whose request was it: what was seen of the user's own client, handed to the right iteration."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from pytest_llmperf.client.observation import Observation
from pytest_llmperf.client.observed import Reading
from pytest_llmperf.iteration_log import IterationLog, OwnLog

_LOOSE = (
    "requests of the test's own client are known to belong to this scenario, and not to which iteration: "
    "{why}. They count for the iteration that ended next"
)
_LATE = (
    "requests of the test's own client ended after the iteration that made them: they count for the next one"
)


class Relaying(Protocol):
    """What is wanted of a relay, see `relay.process.RelayProcess`."""

    @property
    def cost(self) -> object:
        """What it adds to a request, for people."""
        ...

    @property
    def origin(self) -> tuple[str, int]:
        """Host and port."""
        ...

    def register(self, taker: Callable[[Observation], None], upstream: str | None) -> tuple[str, str]:
        """A tag, and the base URL whose requests *taker* is given; *upstream* None: see `aim`."""
        ...

    def forget(self, tags: list[str]) -> None:
        """Record no more of them."""
        ...

    def settle(self, tags: list[str] | None) -> None:
        """Wait until what is over was taken."""
        ...

    def aim(self, upstream: str) -> None:
        """Send requests there, of URLs that name no upstream."""
        ...


class Sightings:
    """What was seen, kept as it came and read when its iteration is over: then it costs no measured time."""

    def __init__(self, log: IterationLog, reading: Reading) -> None:
        self.relay: Relaying | None = None  #: once it is used
        self._log = log
        self._reading = reading
        self._lock = threading.Lock()
        self._seen: list[tuple[OwnLog, Observation]] = []
        self._urls: dict[OwnLog, tuple[str, str]] = {}
        self._remarks: dict[str, None] = {}
        log.settlers.append(self._settle)
        log.remarks.append(lambda: list(self._remarks))

    def url(self, relay: Relaying, arm: str) -> str:
        """The URL of *relay* for the running context's iteration, whose arm is *arm*; else the scenario's."""
        self.relay = relay
        own = self._log.here()
        if own not in self._urls:
            self._urls[own] = relay.register(
                lambda seen: self.add(own, seen, "base_url was read outside it"),
                None if own is self._log.loose else arm,
            )
        return self._urls[own][1]

    def here(self) -> OwnLog:
        """The log of the iteration that the running context belongs to."""
        return self._log.here()

    def add(self, own: OwnLog, seen: Observation, why_loose: str) -> None:
        """Keep *seen* for *own*; *why_loose*: why no iteration is known, if none is."""
        with self._lock:
            self._seen.append((own, seen))
            if own is self._log.loose:
                self._remarks[_LOOSE.format(why=why_loose)] = None
            elif own.closed:
                self._remarks[_LATE] = None

    def end(self) -> None:
        """Record no more."""
        if self.relay is not None:
            self.relay.forget([tag for tag, _ in self._urls.values()])

    def _settle(self, own: OwnLog) -> None:
        """Before *own* closes: wait for what its requests left on the way, and read it."""
        if self.relay is not None:
            alone = self._log.running <= {own}
            mine = [self._urls[own][0]] if own in self._urls else []
            if alone or mine:
                self.relay.settle(None if alone else mine)
        with self._lock:
            seen, self._seen = self._seen, []
        for whose, one in seen:
            whose.add(self._reading.exchange(one, due_s=whose.due_s(one.began_s)))
