"""A run second by second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

#: A longer run is told in longer steps, so that it has no more of them.
MOST_STEPS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Columns with a value per step; the first step begins with the run. Empty when nothing was sent."""

    step_s: float = 1.0
    started: tuple[int, ...] = ()  #: requests that were sent
    finished: tuple[int, ...] = ()  #: requests that ended, the failed ones too
    failed: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()  #: output tokens of the requests that ended, as the server counts them
    p95_s: tuple[float | None, ...] = ()  #: latency of the successful requests that ended
    in_flight: tuple[int, ...] = ()  #: requests under way at the end of the step
    users: tuple[int, ...] = ()  #: iterations under way at the end of the step
    #: Requests that were due and not sent yet at the end of the step: they wait in the generator, for a late
    #: start or for a connection. What waits in the server is in flight.
    queued: tuple[int, ...] = ()
    #: What the server's /metrics said last before the end of the step, by the names of `core.resources`.
    #: None: it said nothing in this step or the one before. Empty: it never did.
    server_running: tuple[float | None, ...] = ()
    server_waiting: tuple[float | None, ...] = ()
    kv_cache_percent: tuple[float | None, ...] = ()


def timeline(
    *,
    began_s: float,
    due_s: Sequence[float],
    sent_s: Sequence[float],
    done_s: Sequence[float],
    latency_s: Sequence[float],
    tokens: Sequence[float],
    spans: tuple[Sequence[float], Sequence[float]],
) -> Timeline:
    """The run that began at *began_s*, from what was noted of each request.

    *latency_s* and *tokens* are NaN where a request failed, or its tokens are unknown. *spans*: starts and
    ends of the iterations. All times are on one clock.
    """
    if not done_s:
        return Timeline()
    length_s = max(max(done_s) - began_s, 1e-9)
    step_s = float(max(1, math.ceil(length_s / MOST_STEPS)))
    steps = int(length_s / step_s) + 1

    def step(at_s: float) -> int:
        return min(max(int((at_s - began_s) / step_s), 0), steps - 1)

    due = [0] * steps
    for at_s in due_s:
        due[step(at_s)] += 1
    started, finished, failed, counted = [0] * steps, [0] * steps, [0] * steps, [0.0] * steps
    latencies: list[list[float]] = [[] for _ in range(steps)]
    for sent, done, latency, output in zip(sent_s, done_s, latency_s, tokens, strict=True):
        started[step(sent)] += 1
        at = step(done)
        finished[at] += 1
        if math.isnan(latency):
            failed[at] += 1
        else:
            latencies[at].append(latency)
        if not math.isnan(output):
            counted[at] += output
    begun, ended = [0] * steps, [0] * steps
    for start, end in zip(*spans, strict=True):
        begun[step(start)] += 1
        ended[step(end)] += 1
    return Timeline(
        step_s=step_s,
        started=tuple(started),
        finished=tuple(finished),
        failed=tuple(failed),
        tokens=tuple(round(count) for count in counted),
        p95_s=tuple(_p95(values) for values in latencies),
        in_flight=_under_way(started, finished),
        users=_under_way(begun, ended),
        queued=_under_way(due, started),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a server said of itself at one moment."""

    at_s: float
    told: Mapping[str, float]  #: by the names of `core.resources`


def with_server(line: Timeline, readings: Sequence[Reading], *, began_s: float) -> Timeline:
    """*line*, of a run that began at *began_s*, with what the server said of itself, in the order of time."""
    columns: dict[str, list[float | None]] = {
        name: [None] * len(line.users)
        for name in ("server_running", "server_waiting", "kv_cache_percent")
        if any(name in reading.told for reading in readings)
    }
    for reading in readings:
        step = max(math.floor((reading.at_s - began_s) / line.step_s), 0)
        for name, value in reading.told.items():
            column = columns[name]
            # In the next step too: that may have none, as looks are not made to the tick.
            column[step : step + 2] = [value] * len(column[step : step + 2])
    return replace(line, **{name: tuple(column) for name, column in columns.items()})  # type: ignore[arg-type]  # named as the fields are


def _under_way(begun: Sequence[int], ended: Sequence[int]) -> tuple[int, ...]:
    running, total = [], 0
    for more, less in zip(begun, ended, strict=True):
        total += more - less
        running.append(total)
    return tuple(running)


def _p95(values: list[float]) -> float | None:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else None
