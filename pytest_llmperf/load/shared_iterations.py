"""Shared iterations: users take from one heap until it is empty (k6's ``shared-iterations``)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.plan import Users
from pytest_llmperf.load.ramping_users import spawned


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedIterations:
    """A fast user runs the body more often than a slow one."""

    users: int
    iterations: int
    spawn_rate: float | None
    duration_s: float | None

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for."""
        assert load.users is not None
        assert load.shared_iterations is not None
        return cls(
            users=load.users,
            iterations=load.shared_iterations,
            spawn_rate=load.spawn_rate,
            duration_s=load.duration,
        )

    @property
    def fact(self) -> str:
        """How many at once: more iterations of the same users are the same load for longer."""
        return f"{self.users} users, shared iterations"

    def plan(self, rng: Random) -> Users:  # noqa: ARG002 - nothing about it is random
        """One heap for all."""
        starts = spawned(self.users, self.spawn_rate)
        return Users(starts_s=starts, shared=self.iterations, until_s=self.duration_s)
