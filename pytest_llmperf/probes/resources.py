"""Which sources there are for one backend, and why others are missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_llmperf.core.backend import ProcessName
from pytest_llmperf.probes import gpu
from pytest_llmperf.probes.gauges import Gauges
from pytest_llmperf.probes.gpu import Gpus
from pytest_llmperf.probes.sampler import Sampler
from pytest_llmperf.probes.server import Members, NotFoundError, family_of, find_server
from pytest_llmperf.probes.server_metrics import ServerMetrics
from pytest_llmperf.probes.sources import Generator, Machine, Server, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose resources are to be sampled."""

    backend: str = ""  #: its name; empty for a scenario that asks none
    url: str = ""
    process: ProcessName | None = None  #: as slo.yaml says
    folder: Path = Path()  #: of slo.yaml
    mock_pid: int | None = None  #: where the backend is the plugin's own mock
    metrics: ServerMetrics | None = None  #: where it tells how busy it is
    alone: bool = False  #: whether only the load generator is: another process looks at the rest
    interleaved: bool = False  #: whether another arm is measured in the same time


def sampler_of(subject: Subject) -> Sampler:
    """A sampler of everything that can be seen of *subject*, not yet begun."""
    if subject.alone:
        return Sampler([Generator()], missing={})
    sources: list[Source] = [Machine(), Generator()]
    missing: dict[str, str] = {}
    notes: list[str] = []
    try:
        members = _members(subject)
    except (NotFoundError, psutil.Error) as error:
        missing |= dict.fromkeys((*Server.names, *gpu.NAMES), str(error))
    else:
        sources.append(Server(members))
        try:
            gpus, said = _gpus(subject, members)
        except NotFoundError as error:
            missing |= dict.fromkeys(gpu.NAMES, str(error))
        else:
            sources.append(gpus)
            notes += said
    if subject.interleaved:
        notes.append("interleaved: what is a mean over time includes the other arm's turns")
    metrics = subject.metrics
    gauges = None if metrics is None or metrics.absent else Gauges(metrics)
    return Sampler(sources, missing=missing, notes=notes, gauges=gauges)


def _members(subject: Subject) -> Members:
    if subject.mock_pid is not None:
        return family_of(subject.mock_pid)
    if not subject.url and subject.process is None:
        raise NotFoundError(
            "the test asks no model server; set backends.<name>.process in slo.yaml to say whose it is"
        )
    return find_server(subject.process, subject.url, backend=subject.backend, folder=subject.folder)


def _gpus(subject: Subject, members: Members) -> tuple[Gpus, tuple[str, ...]]:
    if subject.mock_pid is not None:
        raise NotFoundError("the mock server uses no GPU")
    return Gpus.open(frozenset(process.pid for process in members()))
