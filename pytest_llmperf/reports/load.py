"""How load profiles were carried out: a sentence for people, an object for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pytest_llmperf.core.health import Health
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.timeline import Timeline
from pytest_llmperf.reports.summary import Summary


def sentences(rows: Sequence[Summary]) -> list[str]:
    """A line for each scenario that ran under a load profile."""
    return [
        f"{plain(row.name)}  load: {sentence(load, throughput=throughput(row))}"
        for row in rows
        if (load := row.scenario.measurement.load) is not None
    ]


def sentence(load: LoadReport, *, throughput: str = "") -> str:
    """``20/s, 600 of 600 arrivals, at most 12 at once, 20 requests/s; generator: 9 % of a core, ...``."""
    done = filter(None, (plain(load.profile), *_done(load), throughput))
    return f"{', '.join(done)}; {_whose(load)}: {', '.join(_health(load.health))}"


def throughput(row: Summary) -> str:
    """``20 requests/s, goodput 98.3 %``; empty where unknown.

    The successful ones, with whose they are where two arms shared the load; and the share of all requests
    that met every time limit, where there is one. Steps are called steps, as one may make many requests.
    """
    measured = row.scenario.measurement
    per_s = measured.throughput.get("requests_per_s")
    if per_s is None:
        return ""
    whose = "" if row.scenario.base is None else f" of {plain(measured.backend)}"
    told = f"{show(per_s, 'n')} {'steps' if measured.timed else 'requests'}/s{whose}"
    good = measured.proportions.get("goodput")
    return told if good is None else f"{told}, goodput {show(good.rate, '')}"


HEADING = ("scenario", "load", "carried out", "throughput", "generator")


def cells(row: Summary) -> tuple[str, ...] | None:
    """What `HEADING` names, without the scenario; None where there was no load profile."""
    load = row.scenario.measurement.load
    if load is None:
        return None
    return (
        plain(load.profile),
        ", ".join(_done(load)),
        throughput(row) or "-",
        ", ".join(_health(load.health)),
    )


def _whose(load: LoadReport) -> str:
    return "generator" if load.processes == 1 else "busiest generator process"


def _done(load: LoadReport) -> Iterable[str]:
    if load.planned is None:
        yield f"{load.started} iterations"
    else:
        whose = "the mix's " if load.mixed else ""
        yield f"{load.started} of {whose}{load.planned} arrivals"
    yield f"at most {load.peak} at once"
    if load.processes > 1:
        yield f"{load.processes} processes"
    for count, what in (
        (load.dropped, "dropped"),
        (load.interrupted, "cut off at the end"),
        (load.lost, "process lost" if load.lost == 1 else "processes lost"),
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
