"""What earlier runs measured, and whether it may be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from pytest_llmperf.core.column import Series
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.server_view import ServerView

#: Facts that must be equal for two measurements to be comparable. The mock's latency, replies and
#: faults are not among them: a slower mock is what a slower model is, something to be gated.
MUST_MATCH = ("backend kind", "hardware", "load profile", "streaming", "cache mode", "items", "client")

#: Shown when they differ, and compared all the same: an upgrade is what a team wants gated.
SHOWN = ("model", "server")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One scenario's samples of one session."""

    scenario: str
    saved: str  #: ISO 8601, UTC
    commit: str | None = None  #: short hash
    branch: str | None = None
    label: str | None = None  #: what to call it, where it is not a stored run
    anchor: bool = False  #: the run of the last ``--save-baseline``
    facts: Mapping[str, str] = field(default_factory=dict)
    series: Series = field(default_factory=dict)
    proportions: Mapping[str, Count] = field(default_factory=dict)
    server: ServerView | None = None  #: what the server said then

    @classmethod
    def of(cls, measurement: Measurement, *, label: str, saved: str = "") -> Self:
        """What *measurement* is to one that is held against it, under the name *label*."""
        return cls(
            scenario=measurement.scenario,
            saved=saved,
            label=label,
            facts=measurement.facts,
            series=measurement.series,
            proportions=measurement.proportions,
            server=measurement.server,
        )

    @property
    def origin(self) -> str:
        """Where it came from: ``main@3f2c1a``, or the day it was saved."""
        if self.label is not None:
            return self.label
        if self.commit is None:
            return self.saved[:10]
        return f"{self.branch}@{self.commit}" if self.branch else self.commit


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything stored about one scenario."""

    runs: tuple[StoredRun, ...] = ()  #: of every environment, oldest first
    must_match: tuple[str, ...] = MUST_MATCH  #: facts that have to be equal
    problem: str | None = None  #: a file that cannot be trusted, with what to do about it
    absent: str = "no baseline stored yet: pytest --save-baseline stores one"  #: why there is no run
    incomparable: str | None = None  #: why nothing of it may be compared with

    def comparable(self, measurement: Measurement) -> tuple[StoredRun, ...]:
        """The runs measured under the same conditions, oldest first."""
        return tuple(
            run for run in self.runs if not differences(run.facts, measurement.facts, names=self.must_match)
        )

    def differs(self, measurement: Measurement) -> str:
        """In what the newest stored run's conditions differ from these; empty when nothing is stored."""
        if not self.runs:
            return ""
        return "; ".join(differences(self.runs[-1].facts, measurement.facts, names=self.must_match))

    def changed(self, measurement: Measurement) -> tuple[str, ...]:
        """What differs from the newest comparable run without preventing the comparison."""
        runs = self.comparable(measurement)
        if not runs:
            return ()
        stored, now = runs[-1].facts, measurement.facts
        names = [name for name in SHOWN if name in stored and name in now and name not in self.must_match]
        return differences(stored, now, names=names)


def differences(
    stored: Mapping[str, str], now: Mapping[str, str], *, names: Sequence[str]
) -> tuple[str, ...]:
    """``hardware: RTX 4060 then, L4 now`` for each fact that differs; absent on both sides is equal."""
    return tuple(
        f"{name}: {stored.get(name, 'not known')} then, {now.get(name, 'not known')} now"
        for name in names
        if stored.get(name) != now.get(name)
    )
