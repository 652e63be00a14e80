"""Per-user iterations: every user runs the body the same number of times (k6's ``per-vu-iterations``)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.plan import Users
from pytest_llmperf.load.ramping_users import spawned


@dataclass(frozen=True, slots=True, kw_only=True)
class PerUserIterations:
    """A fast user is done early and does not take over a slow one's work."""

    users: int
    iterations: int
    spawn_rate: float | None
    duration_s: float | None

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for."""
        assert load.users is not None
        assert load.iterations is not None
        return cls(
            users=load.users,
            iterations=load.iterations,
            spawn_rate=load.spawn_rate,
            duration_s=load.duration,
        )

    @property
    def fact(self) -> str:
        """Its tail, with ever fewer users, makes the number of iterations part of the load."""
        return f"{self.users} users, {self.iterations} iterations each"

    def plan(self, rng: Random) -> Users:  # noqa: ARG002 - nothing about it is random
        """Each user its own."""
        starts = spawned(self.users, self.spawn_rate)
        return Users(starts_s=starts, each=self.iterations, until_s=self.duration_s)
