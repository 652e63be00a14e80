"""Connections and their set-up, beside the latencies that they are no part of."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_llmperf.core.connections import Connections
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.reports.summary import Summary


def sentences(rows: Sequence[Summary]) -> list[str]:
    """A line for each scenario under load, and for those of which latencies hold a set-up."""
    return [
        f"{plain(row.name)}  connections: {_sentence(measured.connections)}"
        for row in rows
        if (measured := row.scenario.measurement).connections.opened
        and (measured.load is not None or (measured.warmup and measured.connections.late))
    ]


HEADING = ("", "number", "median", "most")


def table(measured: Measurement) -> Iterable[Sequence[str]]:
    """How many were opened, and how long each phase of their set-up took, for a page."""
    connections = measured.connections
    if not connections.opened:
        return
    yield "opened", str(connections.opened), "", ""
    yield "while measuring", str(connections.late), "", ""
    for phase, values in _phases(connections).items():
        if values:
            yield phase, str(len(values)), show(statistics.median(values), "s"), show(max(values), "s")


def _sentence(connections: Connections) -> str:
    """``4 opened, none while measuring; set-up at the median (most): TCP 0.1 ms (0.2 ms)``."""
    late = (
        f"{connections.late} while measuring, which their requests waited for"
        if connections.late
        else "none while measuring"
    )
    phases = [
        f"{phase} {show(statistics.median(values), 's')} ({show(max(values), 's')})"
        for phase, values in _phases(connections).items()
        if values
    ]
    took = f"; set-up at the median (most): {', '.join(phases)}" if phases else ""
    return f"{connections.opened} opened, {late}{took}"


def _phases(connections: Connections) -> dict[str, tuple[float, ...]]:
    return {"DNS": connections.dns_s, "TCP": connections.tcp_s, "TLS": connections.tls_s}


def as_object(connections: Connections) -> dict[str, Any]:  # Any: JSON
    """For run.json: counts, and of each phase the number, the median and the most in seconds."""
    phases = {
        phase.lower(): {"count": len(values), "p50_s": statistics.median(values), "max_s": max(values)}
        for phase, values in _phases(connections).items()
        if values
    }
    return {"opened": connections.opened, "while_measuring": connections.late, **phases}


def from_object(connections: Mapping[str, Any]) -> Connections:  # Any: JSON
    """What `as_object` made, without the single set-up times; nothing in older reports."""
    return Connections(opened=connections.get("opened", 0), late=connections.get("while_measuring", 0))
