"""What the user asked for, from wherever it was said; `command_line` reads it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pytest_llmperf.core.outcome import BROKEN, Outcome


class GateMode(StrEnum):
    """What ``--llm-gate`` may be."""

    FAIL = "fail"  #: a proven regression fails
    PLAIN = "plain"  #: the bare rule: the point estimate past the limit fails
    WARN = "warn"  #: everything is judged, nothing fails
    OFF = "off"  #: scenarios are measured and reported, not judged


#: Outcomes that ``--llm-strict`` may turn into failures.
STRICT = (Outcome.UNPROVEN, Outcome.INCONCLUSIVE, Outcome.NOT_COMPARABLE, Outcome.NO_BASELINE)


def strict_outcomes(text: str) -> frozenset[Outcome]:
    """The outcomes in a comma-separated list, or ``all``. Raises ValueError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["all"]:
        return frozenset(STRICT)
    unknown = [word for word in words if word not in set(STRICT)]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(STRICT)} or all")
    return frozenset(Outcome(word) for word in words)


#: Samples per scenario of a session that is saved as the baseline, unless told otherwise.
BASELINE_ITERATIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One of several backends and models that a session compares."""

    label: str  #: as node ids and tables name it
    backend: str
    model: str | None  #: None: the backend's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for. See ``pytest --help`` for each."""

    backend: str = "mock"
    url: str | None = None
    model: str | None = None
    setups: tuple[Setup, ...] = ()  #: what is compared, where it is more than one; the first is *backend*
    setup: str = ""  #: the label of the one that these options are about
    #: That share a load profile; None: one, or one for each worker of the cluster.
    processes: int | None = None
    cluster: str | None = None  #: address of a Dask scheduler, whose workers carry out load profiles
    quick: bool = False
    max_time_s: float = math.inf
    max_cost_usd: float | None = None  #: None: slo.yaml's
    save_baseline: bool = False
    append_baseline: bool = False
    ab: str | None = None  #: a backend, a URL or git:REV to interleave with
    baseline: Path | None = None  #: None: .llmperf/baselines under the root directory
    baseline_url: str | None = None  #: of an archive of baselines, which stands for the directory
    gate: GateMode = GateMode.FAIL
    strict: frozenset[Outcome] = frozenset()
    reports: tuple[str, ...] = ()
    slo_file: Path | None = None  #: None: slo.yaml in the root directory, if there is one
    otel: bool = False
    show_replies: bool = False
    histogram: bool = False
    seed: int | None = None  #: None: the file's, for the mock; 0 for everything else
    #: What command line and environment ask for, as options without secrets: measures the same again.
    asked: tuple[str, ...] = ()
    #: The part of *asked* that comes from the environment, which another machine does not have.
    from_environment: tuple[str, ...] = ()
    #: ``llm_slo`` arguments from the command line or the environment, stronger than any marker ...
    overrides: Mapping[str, Any] = field(default_factory=dict)
    #: ... and from the ini file, weaker than any marker.
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def backends(self) -> tuple[str, ...]:
        """All that are used."""
        return tuple(dict.fromkeys([self.backend, *(setup.backend for setup in self.setups)]))

    @property
    def models(self) -> tuple[str, ...]:
        """All that were named."""
        named = [self.model, *(setup.model for setup in self.setups)]
        return tuple(dict.fromkeys(model for model in named if model is not None))

    def slo_path(self, root: Path) -> Path:
        """Where slo.yaml is, if there is one, in a project at *root*."""
        return self.slo_file or root / "slo.yaml"

    @property
    def saves(self) -> bool:
        """Whether this session is stored as a baseline."""
        return self.save_baseline or self.append_baseline

    def of(self, label: str) -> Options:
        """These options for one of the set-ups."""
        setup = next(setup for setup in self.setups if setup.label == label)
        return dataclasses.replace(self, backend=setup.backend, model=setup.model, setup=label)

    def fails(self, outcome: Outcome) -> bool:
        """Whether a scenario with this outcome fails the run."""
        if self.gate in {GateMode.WARN, GateMode.OFF}:
            return False
        return outcome in BROKEN or outcome in self.strict
