"""What is known of a run under load besides its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pytest_llmperf.core.doubt import Doubt
from pytest_llmperf.core.health import MISSING_SHARE, Health, saturation, worst
from pytest_llmperf.core.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """How a profile was carried out."""

    profile: str  #: in words, as in the baseline's facts
    mixed: bool = False  #: with other scenarios at the same time, see ``mix=``
    processes: int = 1
    planned: int | None = None  #: arrivals of the schedule; None in a closed loop
    started: int = 0  #: iterations, measured ones
    dropped: int = 0  #: arrivals for which too many iterations were under way
    interrupted: int = 0  #: iterations still under way when the time to finish was over; not in the samples
    peak: int = 0  #: the most iterations at once
    lost: int = 0  #: processes whose share is missing
    loose: int = 0  #: requests from threads of the test's own: counted for the scenario, for no iteration
    aborted: bool = False  #: ended by ``abort_on``
    health: Health = field(default_factory=Health)
    timeline: Timeline = field(default_factory=Timeline)

    def doubts(self, typical_s: float | None, *, of: str) -> Iterator[Doubt]:
        """Why times and rates may not be the server's; nothing when they are. As `saturation` takes them."""
        if self.lost:
            yield Doubt(told=f"the share of {self.lost} of {self.processes} processes is lost")
        if self.planned and self.dropped > MISSING_SHARE * self.planned:
            told = (
                f"{self.dropped} of {self.planned} arrivals were dropped, with {self.peak} iterations "
                "under way: raise max_concurrency, or the server cannot bear this rate"
            )
            yield Doubt(told=told, excess_s=0.0)
        if self.interrupted > MISSING_SHARE * self.started:
            told = (
                f"{self.interrupted} of {self.started} iterations were still under way at the end: "
                "raise graceful_stop, or the slowest requests are missing"
            )
            yield Doubt(told=told, excess_s=0.0)
        yield from saturation(self.health, typical_s=typical_s, of=of)


def merge(parts: Sequence[LoadReport], *, processes: int) -> LoadReport:
    """The report of several processes that shared one profile; those without one are lost."""
    planned = [part.planned for part in parts if part.planned is not None]
    return LoadReport(
        profile=parts[0].profile,
        mixed=parts[0].mixed,
        processes=processes,
        planned=sum(planned) if planned else None,
        started=sum(part.started for part in parts),
        dropped=sum(part.dropped for part in parts),
        interrupted=sum(part.interrupted for part in parts),
        peak=sum(part.peak for part in parts),
        lost=processes - len(parts),
        loose=sum(part.loose for part in parts),
        aborted=any(part.aborted for part in parts),
        health=worst([part.health for part in parts]),
    )


def pool_loads(loads: Sequence[LoadReport]) -> LoadReport | None:
    """What is known of several runs one after another; None of none. They share no time line."""
    if not loads:
        return None
    if len(loads) == 1:
        return loads[0]
    profiles = {load.profile for load in loads}
    pooled = merge(loads, processes=len(loads))
    return replace(
        pooled,
        profile=pooled.profile if len(profiles) == 1 else "mixed",
        processes=max(load.processes for load in loads),
        peak=max(load.peak for load in loads),
        lost=sum(load.lost for load in loads),
    )
