"""Parts of one load run, measured by several processes, put together without losing a value."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from pytest_llmperf.core.column import Column, Series
from pytest_llmperf.core.load_report import merge
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.pool import pool
from pytest_llmperf.core.price import busy_s
from pytest_llmperf.core.timeline import timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one process measured. Times are in seconds from the start of its run, so clocks need not agree."""

    measurement: Measurement  #: with a load report
    requests: Mapping[str, Sequence[float]]  #: columns due, sent, done, latency, tokens; NaN is none
    spans: tuple[Sequence[float], Sequence[float]]  #: starts and ends of the iterations


def put_together(
    parts: Sequence[Part], *, about: Measurement, processes: int, lost: int | None = None
) -> Measurement:
    """The measurement of all *parts*: samples side by side, counts added, time lines on top of each other.

    *about* gives its names and facts. *processes*: how many there should be. *lost*: of how many a share is
    missing; None: of those that gave no part.
    """
    loads = [part.measurement.load for part in parts if part.measurement.load is not None]
    merged = merge(loads, processes=processes)
    pooled = pool([part.measurement for part in parts])
    columns = {
        name: Column(chain.from_iterable(part.requests[name] for part in parts))
        for name in ("due", "sent", "done", "latency", "tokens")
    }
    starts, ends = (Column(chain.from_iterable(part.spans[side] for part in parts)) for side in (0, 1))
    line = timeline(
        began_s=0.0,
        due_s=columns["due"],
        sent_s=columns["sent"],
        done_s=columns["done"],
        latency_s=columns["latency"],
        tokens=columns["tokens"],
        spans=(starts, ends),
    )
    return replace(
        pooled,
        facts={**pooled.facts, **about.facts},
        series=_in_time_order([part.measurement.series for part in parts]),
        busy_s=busy_s(columns["due"], columns["done"], columns["latency"]),
        wall_s=max(ends) - min(starts) if starts else 0.0,
        load=replace(merged, timeline=line, lost=merged.lost if lost is None else lost),
    )


def _in_time_order(parts: Sequence[Series]) -> dict[str, Column]:
    """Every series of *parts* merged: each value by how far into its own part it is."""
    merged = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        placed = [_placed(part.get(name, ()), number) for number, part in enumerate(parts)]
        merged[name] = Column(value for _, _, value in heapq.merge(*placed))
    return merged


def _placed(values: Sequence[float], number: int) -> Iterator[tuple[float, int, float]]:
    """How far into part *number* each of its values is, the part, and the value."""
    return (((index + 0.5) / len(values), number, value) for index, value in enumerate(values))
