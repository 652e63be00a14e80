"""The load profiles: which class plans which kind of ``@llm_load``."""

from __future__ import annotations

from pkgutil import resolve_name
from random import Random
from typing import Protocol, Self

from pytest_llmperf.core.load import Load
from pytest_llmperf.load.plan import Plan

#: By the kind that `core.load` tells from the arguments.
PROFILES = {
    "constant users": "pytest_llmperf.load.constant_users:ConstantUsers",
    "ramping users": "pytest_llmperf.load.ramping_users:RampingUsers",
    "per-user iterations": "pytest_llmperf.load.per_user_iterations:PerUserIterations",
    "shared iterations": "pytest_llmperf.load.shared_iterations:SharedIterations",
    "constant arrival rate": "pytest_llmperf.load.constant_arrival_rate:ConstantArrivalRate",
    "ramping arrival rate": "pytest_llmperf.load.ramping_arrival_rate:RampingArrivalRate",
    "replay": "pytest_llmperf.load.replay:Replay",
}


class LoadProfile(Protocol):
    """One way to load a server."""

    @classmethod
    def of(cls, load: Load) -> Self:
        """The profile that *load* asks for. Raises LlmPerfUsageError."""
        ...

    @property
    def fact(self) -> str:
        """What must be the same for two runs to be compared, in words."""
        ...

    def plan(self, rng: Random) -> Plan:
        """Who begins when; *rng* is drawn from where the profile is random."""
        ...


def profile_of(load: Load) -> LoadProfile:
    """The profile that *load* asks for. Raises LlmPerfUsageError."""
    profile: LoadProfile = resolve_name(PROFILES[load.kind]).of(load)
    return profile
