"""What ``@llm_load`` says: the rhythm in which a scenario's body is run. Words and profiles are k6's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pytest_llmperf.core.arguments import parse_name, whole
from pytest_llmperf.core.duration import parse_duration
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.share import parse_rate

#: Arguments of ``llm_load``: name -> what is expected, for errors and the reference.
LOAD_ARGUMENTS = {
    "users": "a whole number from 1: how many run the body at once, each again as soon as it is done",
    "spawn_rate": "a number above 0: users that start in a second, until all are there",
    "duration": "a duration such as '30s': no iteration begins after it",
    "iterations": "a whole number from 1: iterations of each user",
    "shared_iterations": "a whole number from 1: iterations of all users together",
    "rate": "a number above 0: iterations that begin in a second, whether or not earlier ones are done",
    "arrivals": "'constant' (default): equal gaps; 'poisson': random ones, as independent users make them",
    "stages": "a list of (duration, rate) pairs: the rate moves evenly from one to the next, first from 0",
    "replay": "recorded arrival times: a list of seconds, or the name of a file with one in each line",
    "think_time": "a duration such as '2s', or a distribution such as 'uniform(1s, 3s)', 'exponential(2s)' "
    "or 'lognormal(2s, 0.5)': how long a user waits between two iterations",
    "max_concurrency": "a whole number from 1: iterations at once, beyond which arrivals are dropped, "
    "and counted",
    "graceful_stop": "a duration (default: 30s): what still runs at the end may take so long to finish",
    "abort_on": "a mapping such as {'error_rate': 0.2, 'p95_ms': 5000}: ends a run that has gone wrong",
    "mix": "a name: tests with the same one share one profile, which one of them gives, or all the same",
    "weight": "a number above 0 (default: 1): the test's share of its mix, beside the others' weights",
}

#: Arrivals of one run: their times are made before it begins, eight bytes each.
MOST_ARRIVALS = 100_000_000

_ALWAYS = frozenset({"graceful_stop", "abort_on", "mix", "weight"})
_RHYTHMS = frozenset({"users", "rate", "stages", "replay"})
_ARRIVALS = frozenset({"arrivals", "max_concurrency"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Which arguments make up a profile."""

    needs: frozenset[str]
    may: frozenset[str] = frozenset()


#: The profiles, by what is given; the reference lists them. `load.profiles.PROFILES` has their code.
KINDS: dict[str, _Kind] = {
    "constant users": _Kind(needs=frozenset({"users", "duration"}), may=frozenset({"think_time"})),
    "ramping users": _Kind(
        needs=frozenset({"users", "spawn_rate", "duration"}), may=frozenset({"think_time"})
    ),
    "per-user iterations": _Kind(
        needs=frozenset({"users", "iterations"}), may=frozenset({"think_time", "duration", "spawn_rate"})
    ),
    "shared iterations": _Kind(
        needs=frozenset({"users", "shared_iterations"}),
        may=frozenset({"think_time", "duration", "spawn_rate"}),
    ),
    "constant arrival rate": _Kind(needs=frozenset({"rate", "duration"}), may=_ARRIVALS),
    "ramping arrival rate": _Kind(needs=frozenset({"stages"}), may=_ARRIVALS),
    "replay": _Kind(needs=frozenset({"replay"}), may=frozenset({"duration", "max_concurrency"})),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortOn:
    """When a run has gone so wrong that going on says nothing."""

    error_rate: float | None = None
    p95_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The arguments of ``llm_load``, checked; *kind* is the profile that they make up."""

    kind: str  #: empty for a member of a mix that leaves the profile to another one
    users: int | None = None
    spawn_rate: float | None = None
    duration: float | None = None  #: seconds
    iterations: int | None = None
    shared_iterations: int | None = None
    rate: float | None = None
    arrivals: str = "constant"
    stages: tuple[tuple[float, float], ...] = ()  #: (seconds, rate at their end)
    replay: str | tuple[float, ...] | None = None
    think_time: str | None = None  #: a distribution's text
    max_concurrency: int | None = None
    graceful_stop: float = 30.0  #: seconds
    abort_on: AbortOn = AbortOn()
    mix: str | None = None
    weight: float = 1.0

    def differences(self, other: Load) -> list[str]:
        """Arguments of the profile that are not the same; members of a mix may differ in the rest."""
        own = {"kind", "abort_on", "mix", "weight"}
        return [
            field.name
            for field in fields(self)
            if field.name not in own and getattr(self, field.name) != getattr(other, field.name)
        ]

    @property
    def expected(self) -> float:
        """How many arrivals its rate makes, on average; 0 without a rate."""
        rates = (0.0, *(rate for _, rate in self.stages))
        ramps = sum(
            seconds * (before + rate) / 2
            for before, (seconds, rate) in zip(rates[:-1], self.stages, strict=True)
        )
        return ramps + (self.rate or 0.0) * (self.duration or 0.0)

    def length_s(self, each_s: float) -> float:
        """About how long it takes when an iteration takes *each_s*, at most as long as it may."""
        if self.stages:
            return sum(seconds for seconds, _ in self.stages)
        if isinstance(self.replay, tuple):
            return self.replay[-1]
        if self.users is None or (self.iterations is None and self.shared_iterations is None):
            return self.duration or 0.0
        each = self.iterations or (self.shared_iterations or 0) / self.users
        return min(each * each_s, self.duration or math.inf)


def parse_load(arguments: Mapping[str, object], *, where: str | Callable[[str], str]) -> dict[str, Any]:
    """One layer of ``llm_load`` arguments, checked; merge layers with ``dict.update``, then `build_load`.

    *where* opens every error text, and may depend on the argument. Raises LlmPerfUsageError.
    """
    layer = {}
    for name, value in arguments.items():
        place = where if isinstance(where, str) else where(name)
        if name not in LOAD_ARGUMENTS:
            raise LlmPerfUsageError(
                f"{place}  {name} is not an argument of llm_load{nearest(name, LOAD_ARGUMENTS)}"
            )
        try:
            layer[name] = _PARSERS[name](value)
        except ValueError as error:
            raise LlmPerfUsageError(f"{place}  {name}: {error}; expected {LOAD_ARGUMENTS[name]}.") from None
    return layer


def merge_load(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> dict[str, Any]:
    """*outer* with what *inner* says; another rhythm replaces the whole rhythm."""
    if inner.keys() & _RHYTHMS:
        outer = {name: value for name, value in outer.items() if name in _ALWAYS}
    return {**outer, **inner}


def build_load(arguments: Mapping[str, Any], *, where: str) -> Load:
    """The profile that merged *arguments* make up. Raises LlmPerfUsageError when they make up none."""
    if "weight" in arguments and "mix" not in arguments:
        raise LlmPerfUsageError(f"{where}  weight is a share of a mix: give mix='a name' too.")
    given = frozenset(arguments) - _ALWAYS
    if "mix" in arguments and not given:
        if "graceful_stop" in arguments:
            raise LlmPerfUsageError(f"{where}  graceful_stop belongs to the profile: give it where that is.")
        return Load(kind="", **arguments)
    fitting = [name for name, kind in KINDS.items() if kind.needs <= given <= kind.needs | kind.may]
    if not fitting:
        raise LlmPerfUsageError(f"{where}  {_misfit(given)}")
    assert set(arguments) <= {field.name for field in fields(Load)}
    load = Load(kind=fitting[0], **arguments)
    if (count := load.expected) > MOST_ARRIVALS:
        raise LlmPerfUsageError(
            f"{where}  {count:,.0f} arrivals are too many for one run, which may have {MOST_ARRIVALS:,}: "
            "give a lower rate, or less time."
        )
    return load


def _misfit(given: frozenset[str]) -> str:
    """Why *given* is no profile, and the nearest one that is."""
    if not given:
        examples = f"{_example('constant users')} or {_example('constant arrival rate')}"
        return f"says no rhythm; give such as {examples}."
    name, kind = max(
        KINDS.items(),
        key=lambda item: (
            len(given & (item[1].needs | item[1].may)),
            -len(item[1].needs - given),
            -len(given - item[1].needs - item[1].may),
        ),
    )
    missing, extra = sorted(kind.needs - given), sorted(given - kind.needs - kind.may)
    if missing and not extra:
        return (
            f"{', '.join(sorted(given))} alone is no load profile: {name} needs {' and '.join(missing)} too."
        )
    if extra and not missing:
        return f"{', '.join(extra)} does not go with {', '.join(sorted(kind.needs))} ({name}); leave it out."
    return f"{', '.join(sorted(given))} do not make up a load profile; {name} is {_example(name)}."


_EXAMPLES = {
    "constant users": 'users=50, duration="30s"',
    "ramping users": 'users=50, spawn_rate=5, duration="1m"',
    "per-user iterations": "users=10, iterations=30",
    "shared iterations": "users=10, shared_iterations=300",
    "constant arrival rate": 'rate=20, duration="30s"',
    "ramping arrival rate": 'stages=[("30s", 10), ("1m", 50)]',
    "replay": 'replay="arrivals.txt"',
}


def _example(kind: str) -> str:
    return f"@llm_load({_EXAMPLES[kind]})"


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")  # noqa: TRY004 - all become one usage error
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{value!r} is out of range")
    return float(value)


def _duration(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration such as 30s, 10m or 1h")  # noqa: TRY004 - as above
    seconds = parse_duration(value)
    if not seconds:
        raise ValueError(f"{value!r} is no time at all")
    return seconds


def _grace(value: object) -> float:
    return parse_duration(value)


def _arrivals(value: object) -> str:
    if value not in {"constant", "poisson"}:
        raise ValueError(f"{value!r} is neither")
    return str(value)


def _stages(value: object) -> tuple[tuple[float, float], ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{value!r} is not a list")  # noqa: TRY004 - as above
    if not value:
        raise ValueError("the list is empty")
    stages = []
    for stage in value:
        if isinstance(stage, str) or not isinstance(stage, Sequence) or len(stage) != 2:
            raise ValueError(f"{stage!r} is not a pair of a duration and a rate")
        rate = 0.0 if stage[1] == 0 and not isinstance(stage[1], bool) else _number(stage[1])
        stages.append((_duration(stage[0]), rate))
    if not any(rate for _, rate in stages):
        raise ValueError("every rate is 0")
    return tuple(stages)


def _replay(value: object) -> str | tuple[float, ...]:
    if isinstance(value, str):
        return parse_name(value)
    if not isinstance(value, Sequence):
        raise ValueError(f"{value!r} is neither a list nor a file's name")  # noqa: TRY004 - as above
    if not value:
        raise ValueError("the list is empty")
    return arrival_times(value)


def arrival_times(values: Sequence[object]) -> tuple[float, ...]:
    """Recorded times in seconds as seconds from the first of them. Raises ValueError."""
    times: list[float] = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{value!r} is not a time in seconds")
        if times and value < times[-1]:
            raise ValueError(f"{value!r} comes after {times[-1]!r}, which is later")
        times.append(float(value))
    return tuple(time - times[0] for time in times)


def _think(value: object) -> str:
    if isinstance(value, str):
        return parse_name(value)
    return f"{_number(value):g}s"


def _abort_on(value: object) -> AbortOn:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{value!r} is not a mapping")
    limits: dict[str, float] = {}
    for name, limit in value.items():
        if name == "error_rate":
            limits["error_rate"] = parse_rate(limit)
        elif name in {"p95_ms", "p95_s"}:
            limits["p95_s"] = _number(limit) * (1e-3 if name == "p95_ms" else 1.0)
        else:
            raise ValueError(f"{name!r} is not one of error_rate, p95_ms, p95_s")
    return AbortOn(**limits)


_PARSERS: dict[str, Callable[[object], Any]] = {
    "users": whole(1),
    "spawn_rate": _number,
    "duration": _duration,
    "iterations": whole(1),
    "shared_iterations": whole(1),
    "rate": _number,
    "arrivals": _arrivals,
    "stages": _stages,
    "replay": _replay,
    "think_time": _think,
    "max_concurrency": whole(1),
    "graceful_stop": _grace,
    "abort_on": _abort_on,
    "mix": parse_name,
    "weight": _number,
}
