"""How load profiles were carried out: a sentence for people, an object for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pytest_llmperf.core.health import Health
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.timeline import Timeline
from pytest_llmperf.reports.plain import plain
from pytest_llmperf.reports.summary import Summary


def sentences(rows: Sequence[Summary]) -> list[str]:
    """A line for each scenario that ran under a load profile."""
    return [
        f"{plain(row.name)}  load: {sentence(load)}"
        for row in rows
        if (load := row.scenario.measurement.load) is not None
    ]


def sentence(load: LoadReport) -> str:
    """``20/s, 600 of 600 arrivals, at most 12 at once; generator: 9 % of a core, lag p95 0.3 ms``."""
    whose = "generator" if load.processes == 1 else "busiest generator process"
    return f"{', '.join(_done(load))}; {whose}: {', '.join(_health(load.health))}"


def _done(load: LoadReport) -> Iterable[str]:
    yield plain(load.profile)
    if load.planned is None:
        yield f"{load.started} iterations"
    else:
        yield f"{load.started} of {load.planned} arrivals"
    yield f"at most {load.peak} at once"
    if load.processes > 1:
        yield f"{load.processes} processes"
    for count, what in (
        (load.dropped, "dropped"),
        (load.interrupted, "cut off at the end"),
        (load.lost, "processes lost"),
    ):
        if count:
            yield f"{count} {what}"


def _health(health: Health) -> Iterable[str]:
    yield f"{100 * health.cpu_share:.0f} % of a core"
    yield f"lag p95 {show(health.lag_p95_s, 's')}"
    if health.schedule_lag_max_s:
        yield f"late starts p95 {show(health.schedule_lag_p95_s, 's')}"
    if health.late_chunks:
        yield f"{show(health.late_share, '')} of chunks late"


def as_object(load: LoadReport) -> dict[str, Any]:  # Any: JSON
    """*load* for run.json: the names of `LoadReport`, times in seconds to the microsecond."""
    return {name: _plain(value) for name, value in asdict(load).items()}


def from_object(load: Mapping[str, Any]) -> LoadReport:  # Any: JSON
    """What `as_object` made."""
    line: dict[str, Any] = {
        name: value if name == "step_s" else tuple(value) for name, value in load["timeline"].items()
    }
    known = {**load, "health": Health(**load["health"]), "timeline": Timeline(**line)}
    return LoadReport(**known)


def _plain(value: Any) -> Any:  # Any: JSON
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return round(value, 6) if isinstance(value, float) else value
