"""Connections that were opened for a scenario, and how long their set-up took: told apart from latencies."""

from __future__ import annotations

from dataclasses import dataclass

#: Set-up times that are kept, of a server that closes after every request.
MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """One connection, in seconds. None: the phase was not there, or cannot be seen."""

    dns_s: float | None = None  #: looking the host name up
    tcp_s: float
    tls_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """All connections of a scenario. Nothing of it is in the latencies, but for *late* ones."""

    opened: int = 0
    late: int = 0  #: of them while measuring: their set-up is part of a request's latency
    dns_s: tuple[float, ...] = ()
    tcp_s: tuple[float, ...] = ()
    tls_s: tuple[float, ...] = ()

    def __add__(self, other: Connections) -> Connections:
        """Those of both."""
        return Connections(
            opened=self.opened + other.opened,
            late=self.late + other.late,
            dns_s=(self.dns_s + other.dns_s)[:MOST],
            tcp_s=(self.tcp_s + other.tcp_s)[:MOST],
            tls_s=(self.tls_s + other.tls_s)[:MOST],
        )


class ConnectionLog:
    """Takes every set-up, from any thread."""

    def __init__(self) -> None:
        self._opened = 0
        self._before: int | None = None  #: measuring; None until it begins
        self._kept: list[SetUp] = []

    def add(self, set_up: SetUp) -> None:
        """A connection is there."""
        self._opened += 1
        if len(self._kept) < MOST:
            self._kept.append(set_up)

    def measuring(self) -> None:
        """What is opened from now on is opened while measuring."""
        self._before = self._opened

    @property
    def so_far(self) -> Connections:
        """All of them."""
        kept = tuple(self._kept)
        return Connections(
            opened=self._opened,
            late=0 if self._before is None else self._opened - self._before,
            dns_s=tuple(one.dns_s for one in kept if one.dns_s is not None),
            tcp_s=tuple(one.tcp_s for one in kept),
            tls_s=tuple(one.tls_s for one in kept if one.tls_s is not None),
        )
