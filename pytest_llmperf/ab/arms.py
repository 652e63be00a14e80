"""Two arms of one run, measured in turns so that both see the same machine: ``--llm-ab``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from pytest_llmperf.client.redact import safe_url
from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.measurement import Measurement

#: What starts the name of a revision.
GIT = "git:"


def label_of(name: str) -> str:
    """What ``--llm-ab`` names, as people may see it: a URL without its credentials."""
    return safe_url(name) if "://" in name else name


class Arm(StrEnum):
    """The two sides of a comparison."""

    BASE = "base"  #: what ``--llm-ab`` names
    CANDIDATE = "candidate"  #: what the session measures anyway


_ARM: ContextVar[Arm | None] = ContextVar("pytest_llmperf_arm", default=None)


@dataclass
class Switch:
    """Which arm the fixtures of an item talk to right now.

    One for all threads and tasks where iterations come one after another; `enter` is for this context
    only, where many run at once.
    """

    everywhere: Arm = Arm.CANDIDATE
    listeners: list[Callable[[Arm], None]] = field(default_factory=list)

    @property
    def arm(self) -> Arm:
        """The arm of the running context."""
        return _ARM.get() or self.everywhere

    def turn(self, arm: Arm) -> None:
        """The turn of *arm* begins, everywhere."""
        self.everywhere = arm
        for told in self.listeners:
            told(arm)

    def enter(self, arm: Arm) -> Token[Arm | None]:
        """Talk to *arm* in this context, until `leave` is given what this gives."""
        return _ARM.set(arm)

    def leave(self, entered: Token[Arm | None]) -> None:
        """Talk again to what the context talked to before."""
        _ARM.reset(entered)


@dataclass
class Base:
    """The base arm of one scenario.

    *remote* runs one iteration, measured or not, in another process and gives None when that
    process is gone; it is None itself where the body is run against the base's server.
    """

    label: str  #: for people: the backend's name, or the revision
    remote: Callable[[bool], Iteration | None] | None = None
    missing: str | None = None  #: why there is nothing to measure, or nothing more
    compared: bool = True  #: whether it is what the candidate is held against
    broken: bool = False  #: whether *missing* is a fault rather than a scenario that is new
    iterations: list[Iteration] = field(default_factory=list)


def in_turns(rng: Random) -> tuple[Arm, Arm]:
    """Both arms in random order, so that neither always comes second."""
    return (Arm.BASE, Arm.CANDIDATE) if rng.random() < 0.5 else (Arm.CANDIDATE, Arm.BASE)


def paired(one: Sequence[Iteration], other: Sequence[Iteration]) -> tuple[list[Iteration], list[Iteration]]:
    """The iterations of both arms in which every request of both succeeded, so that i-th values are pairs."""
    pairs = [
        (first, second)
        for first, second in zip(one, other, strict=False)
        if len(first.exchanges) == len(second.exchanges)
        and [step.name for step in first.steps] == [step.name for step in second.steps]
        and all(step.error is None for step in (*first.steps, *second.steps))
        and all(exchange.failure is None for exchange in (*first.exchanges, *second.exchanges))
    ]
    return [first for first, _ in pairs], [second for _, second in pairs]


def as_history(base: Base, measurement: Measurement | None) -> History:
    """The base arm as what the candidate is compared with; *measurement* is what it did so far."""
    if base.missing is not None:
        return History(incomparable=base.missing) if base.broken else History(absent=base.missing)
    if measurement is None or measurement.failed == measurement.sent > 0:
        return History(
            incomparable=f"no request to {base.label} succeeded, so there is nothing to compare with"
        )
    return History(runs=(StoredRun.of(measurement, label=base.label),))
