"""Constant users: so many run the body over and over for a while (k6's ``constant-vus``)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.plan import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantUsers:
    """All users from the first moment to the last."""

    users: int
    duration_s: float

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for."""
        assert load.users is not None
        assert load.duration is not None
        return cls(users=load.users, duration_s=load.duration)

    @property
    def fact(self) -> str:
        """How many at once: the same users for longer are the same load."""
        return f"{self.users} users"

    def plan(self, rng: Random) -> Users:  # noqa: ARG002 - nothing about it is random
        """Everyone begins at once."""
        return Users(starts_s=(0.0,) * self.users, until_s=self.duration_s)
