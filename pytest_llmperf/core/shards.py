"""Parts of one load run, measured by several processes, put together without losing a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_llmperf.core.load_report import merge
from pytest_llmperf.core.measurement import Measurement, pool
from pytest_llmperf.core.price import union_s
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
        name: [value for part in parts for value in part.requests[name]]
        for name in ("due", "sent", "done", "latency", "tokens")
    }
    starts = [value for part in parts for value in part.spans[0]]
    ends = [value for part in parts for value in part.spans[1]]
    succeeded = (
        (due, done)
        for due, done, latency in zip(columns["due"], columns["done"], columns["latency"], strict=True)
        if latency == latency  # noqa: PLR0124 - NaN is not equal to itself
    )
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
        busy_s=union_s(succeeded),
        wall_s=max(ends) - min(starts) if starts else 0.0,
        load=replace(merged, timeline=line, lost=merged.lost if lost is None else lost),
    )


def _in_time_order(parts: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, tuple[float, ...]]:
    """Every series of *parts* merged: each value by how far into its own part it is."""
    merged = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        placed = [
            ((index + 0.5) / len(values), number, value)
            for number, part in enumerate(parts)
            for values in [part.get(name, ())]
            for index, value in enumerate(values)
        ]
        merged[name] = tuple(value for _, _, value in sorted(placed))
    return merged
