"""Ramping users: they come one after another (Locust's ``users`` and ``spawn_rate``)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.plan import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class RampingUsers:
    """*spawn_rate* users more in every second, until all are there."""

    users: int
    spawn_rate: float
    duration_s: float

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for."""
        assert load.users is not None
        assert load.spawn_rate is not None
        assert load.duration is not None
        return cls(users=load.users, spawn_rate=load.spawn_rate, duration_s=load.duration)

    @property
    def fact(self) -> str:
        """The ramp's share of the run matters, so its length is part of the load."""
        return f"{self.users} users, {self.spawn_rate:g}/s more, {self.duration_s:g} s"

    def plan(self, rng: Random) -> Users:  # noqa: ARG002 - nothing about it is random
        """The first user begins at once."""
        return Users(starts_s=spawned(self.users, self.spawn_rate), until_s=self.duration_s)


def spawned(users: int, spawn_rate: float | None) -> tuple[float, ...]:
    """When each of *users* begins; all at once where no rate is given."""
    return tuple(0.0 if spawn_rate is None else number / spawn_rate for number in range(users))
