"""One run of a scenario's body."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmperf.core.exchange import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCheck:
    """One call of ``llm.check``: it counts, and never fails the iteration."""

    name: str
    passed: bool
    label: str | None = None  #: results are shown apart per label


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedStep:
    """One run of a block under ``llm_timer``. Times in seconds on the clock of ``time.perf_counter()``."""

    name: str
    due_s: float  #: when it was wanted: its start, or in an open loop what the load profile says
    started_s: float
    done_s: float
    error: str | None = None  #: what it raised, in one line without secrets
    excused: bool = False  #: its error is that of a request, which counts it already
    outermost: bool = True  #: not inside another step


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One measured run of the body. Times in seconds on the clock of ``time.perf_counter()``."""

    started_s: float
    done_s: float
    exchanges: tuple[Exchange, ...] = ()
    checks: tuple[NamedCheck, ...] = ()
    steps: tuple[TimedStep, ...] = ()
    #: None when a failed request, a failed step or an invalid reply ended it, which is counted by
    #: success_rate or json_valid: one cause is counted once.
    passed: bool | None = True
    #: An invalid reply that failed this iteration, and so must not count against json_valid too.
    json_failed: bool = False
