"""What the server, its GPUs, this machine and the load generator used while a scenario was measured."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from pytest_llmperf.core.known import sum_known

#: Points of a time line that are kept; a longer one is thinned to every second point, and again.
POINTS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One line of the table of what is sampled."""

    unit: str  #: "MB" (1 000 000 bytes), "%", "W" or "n", a number
    help: str


#: What is sampled, by the name that reports use.
GAUGES = {
    "rss_mb": Gauge(unit="MB", help="resident memory of the server's processes"),
    "cpu_percent": Gauge(unit="%", help="CPU of the server's processes; one core is 100 %"),
    "server_running": Gauge(unit="n", help="requests that the server works on, by its /metrics"),
    "server_waiting": Gauge(unit="n", help="requests in the server's queue, by its /metrics"),
    "kv_cache_percent": Gauge(unit="%", help="use of the server's KV cache, by its /metrics"),
    "gpu_memory_mb": Gauge(unit="MB", help="memory in use on the server's GPUs"),
    "gpu_percent": Gauge(unit="%", help="utilisation of the server's GPUs"),
    "gpu_power_w": Gauge(unit="W", help="power of the server's GPUs"),
    "machine_cpu_percent": Gauge(unit="%", help="CPU of this machine; all cores are 100 %"),
    "machine_memory_mb": Gauge(unit="MB", help="memory in use on this machine"),
    "generator_cpu_percent": Gauge(unit="%", help="CPU of the processes that send the requests"),
    "generator_rss_mb": Gauge(unit="MB", help="resident memory of the processes that send the requests"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One gauge over a scenario, in its own unit."""

    mean: float
    peak: float
    n: int  #: samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What was sampled of one scenario, warm-up left out. Names are those of `GAUGES`."""

    seconds: float = 0.0  #: of sampling
    usage: Mapping[str, Usage] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)  #: why there is no usage, by name
    notes: tuple[str, ...] = ()  #: what to know before trusting a number
    at_s: tuple[float, ...] = ()  #: of each point of the time line, from the first sample
    line: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)  #: None: not sampled then


#: Of `GAUGES`, those of the load generator.
GENERATOR = ("generator_cpu_percent", "generator_rss_mb")


def thinned(points: Sequence[float | None], limit: int = POINTS) -> tuple[float | None, ...]:
    """*points* halved until at most *limit* are left.

    Of two neighbours the larger is kept, so that no peak is lost.
    """
    while len(points) > limit:
        pairs = zip_longest(points[::2], points[1::2])
        points = [max((one for one in pair if one is not None), default=None) for pair in pairs]
    return tuple(points)


def thinned_times(at_s: Sequence[float], limit: int = POINTS) -> tuple[float, ...]:
    """The times of `thinned` points: of two neighbours the earlier."""
    while len(at_s) > limit:
        at_s = at_s[::2]
    return tuple(at_s)


def pool_resources(parts: Sequence[Resources]) -> Resources:
    """One account of a scenario whose items ran apart, one after the other."""
    usage: dict[str, Usage] = {}
    missing: dict[str, str] = {}
    at_s: list[float] = []
    line: dict[str, list[float | None]] = {name: [] for part in parts for name in part.line}
    start = 0.0
    for part in parts:
        for name, one in part.usage.items():
            usage[name] = _together(usage.get(name), one)
        missing |= part.missing
        at_s += [start + at for at in part.at_s]
        for name, points in line.items():
            points.extend(part.line.get(name, (None,) * len(part.at_s)))
        start += part.seconds
    return Resources(
        seconds=start,
        usage=usage,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        missing={name: why for name, why in missing.items() if name not in usage},
        at_s=thinned_times(at_s),
        line={name: thinned(points) for name, points in line.items()},
    )


def made_by(generators: Sequence[Resources], *, seen: Resources) -> Resources:
    """*seen* by who leads, with what the processes that made the load used at the same time, all together.

    Their samples are not taken at the same moments: a sum takes each process's last value before a moment.
    """
    usage = {name: one for name, one in seen.usage.items() if name not in GENERATOR}
    line = {name: points for name, points in seen.line.items() if name not in GENERATOR}
    for name in GENERATOR:
        known = [part.usage[name] for part in generators if name in part.usage]
        if not known:
            continue
        lines = [(part.at_s, part.line[name]) for part in generators if name in part.line]
        total = tuple(sum_known([_at(at_s, *one) for one in lines]) for at_s in seen.at_s)
        mean = sum(one.mean for one in known)
        peak = max((value for value in total if value is not None), default=sum(one.peak for one in known))
        usage[name] = Usage(mean=mean, peak=max(mean, peak), n=max(one.n for one in known))
        line[name] = total
    missing = {name: why for name, why in seen.missing.items() if name not in usage}
    for part in generators:
        missing |= {
            name: why for name, why in part.missing.items() if name in GENERATOR and name not in usage
        }
    return replace(seen, usage=usage, line=line, missing=missing)


def _at(moment_s: float, at_s: Sequence[float], points: Sequence[float | None]) -> float | None:
    """The last of *points*, each taken *at_s*, up to a moment."""
    index = bisect_right(at_s, moment_s) - 1
    return points[index] if 0 <= index < len(points) else None


def _together(known: Usage | None, more: Usage) -> Usage:
    """Both, each mean by its number of samples, which come at equal intervals."""
    if known is None:
        return more
    n = known.n + more.n
    mean = (known.mean * known.n + more.mean * more.n) / n
    return Usage(mean=mean, peak=max(known.peak, more.peak), n=n)
