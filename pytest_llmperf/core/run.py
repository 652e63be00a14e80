"""One session's result: what every report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.cache_saving import Saving
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome, worst
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.core.yardsticks import Yardsticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario of the run: measured and judged."""

    measurement: Measurement
    slo: Slo
    verdict: Verdict
    base: Measurement | None = None  #: the other arm, under ``--llm-ab``
    cold: Measurement | None = None  #: cold prompts, under ``--llm-cache=both``
    savings: tuple[Saving, ...] = ()  #: what the prefix cache saves against them
    stored: tuple[StoredRun, ...] = ()  #: the stored runs it was compared with, for plots
    explanation: str | None = None  #: the broken gate taken apart, see `breakdown.explanation`

    @property
    def compared_with(self) -> tuple[StoredRun, ...]:
        """What it was held against: the other arm, else the stored runs, oldest first."""
        return self.stored if self.base is None else (StoredRun.of(self.base, label=self.base.backend),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One session.

    *problems* are the things that keep the gate from knowing, such as a crashed worker: a run with
    a problem never passes.
    """

    started: str  #: ISO 8601, UTC
    environment: Mapping[str, str] = field(default_factory=dict)
    scenarios: tuple[Scenario, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  #: about the session as a whole
    saved: tuple[str, ...] = ()  #: what became of the baseline, one line each
    yardsticks: Yardsticks = field(default_factory=Yardsticks)  #: by what its models are compared

    @property
    def outcome(self) -> Outcome:
        """The worst of all scenarios."""
        if self.problems:
            return Outcome.FAILED
        return worst([scenario.verdict.outcome for scenario in self.scenarios])


def drift(scenarios: Sequence[Scenario]) -> str | None:
    """A sentence when nearly all compared scenarios moved together, which code seldom does."""
    ratios = [
        check.ratio
        for scenario in scenarios
        for check in scenario.verdict.checks
        if check.ratio is not None and (check.metric, check.statistic) == ("latency", "p95")
    ]
    slower = sum(ratio > 1.05 for ratio in ratios)
    if len(ratios) >= 5 and slower >= 0.8 * len(ratios):
        return (
            f"{slower} of {len(ratios)} scenarios became slower together: machine drift suspected, "
            "compare on another machine or save a new baseline"
        )
    return None
