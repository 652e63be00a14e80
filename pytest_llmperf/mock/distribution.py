"""Random durations, as users write them: ``lognormal(55ms, 0.1)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from random import Random
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*(ns|us|µs|ms|s|min|m|h)\s*", re.IGNORECASE)
_CALL = re.compile(r"\s*([a-z]+)\s*\((.*)\)\s*", re.DOTALL)
LONGEST_S = 24 * 3600.0  #: of any duration that a user writes

SHAPES = (
    "constant(D), uniform(LOW, HIGH), normal(MEAN, SD), lognormal(MEDIAN, SIGMA), gamma(MEAN, SD), "
    "exponential(MEAN) or empirical(FILE)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Durations in seconds, never negative."""

    text: str  #: as it was written
    constant_s: float | None = None  #: the value when it never varies
    draw: Callable[[Random], float] = field(repr=False, compare=False)


def constant(value_s: float) -> Distribution:
    """Always *value_s* seconds."""
    return Distribution(text=f"constant({value_s}s)", constant_s=value_s, draw=lambda _: value_s)


def parse_duration(text: object, *, where: str) -> float:
    """Seconds from ``55ms``, ``1.5s``, ``2min``; 0 needs no unit.

    Raises LlmPerfUsageError naming *where* when there is no unit, or it is past a day.
    """
    if text == 0 and not isinstance(text, bool):
        return 0.0
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        if isinstance(text, str) and text.strip() == "0":
            return 0.0
        raise LlmPerfUsageError(
            f"{where}: {text!r} is not a duration; write a number with a unit, as 55ms or 1.5s"
        )
    seconds = float(found[1]) * _UNITS[found[2].lower()]
    if seconds > LONGEST_S:
        raise LlmPerfUsageError(f"{where}: {text!r} is longer than a day")
    return seconds


def parse_distribution(spec: object, *, where: str) -> Distribution:
    """The distribution that *spec* describes.

    *spec* is a text like ``lognormal(55ms, 0.1)``, a bare duration (a constant), or the resolved
    form of ``empirical(FILE)``: ``{"empirical_s": [...]}``.
    """
    if isinstance(spec, Mapping):
        return _parse_resolved(spec, where=where)
    call = _CALL.fullmatch(spec) if isinstance(spec, str) else None
    if call is None:
        if isinstance(spec, str) and not _DURATION.fullmatch(spec) and spec.strip() != "0":
            raise LlmPerfUsageError(
                f"{where}: {spec!r} is not a distribution; expected {SHAPES}, or a duration"
            )
        value_s = parse_duration(spec, where=where)
        return Distribution(text=str(spec), constant_s=value_s, draw=lambda _: value_s)
    name, arguments = call[1], [part.strip() for part in call[2].split(",")]
    if name not in _BUILDERS:
        raise LlmPerfUsageError(f"{where}: {name!r} is not a distribution; expected {SHAPES}")
    count, build = _BUILDERS[name]
    if len(arguments) != count or not all(arguments):
        raise LlmPerfUsageError(
            f"{where}: {spec!r} needs {count} argument(s), has {sum(map(bool, arguments))}; expected {SHAPES}"
        )
    return build(str(spec), arguments, where)


def empirical(values_s: Sequence[float], *, text: str, where: str) -> Distribution:
    """Draws from *values_s* with replacement."""
    values = tuple(values_s)
    if not values:
        raise LlmPerfUsageError(f"{where}: {text} holds no values")
    if any(not 0 <= value <= LONGEST_S for value in values):
        raise LlmPerfUsageError(f"{where}: {text} holds a value that is negative or longer than a day")
    return Distribution(text=text, draw=lambda rng: rng.choice(values))


def _parse_resolved(spec: Mapping[Any, Any], *, where: str) -> Distribution:
    values = spec.get("empirical_s")
    if set(spec) - {"empirical_s", "text"} or not isinstance(values, Sequence) or isinstance(values, str):
        raise LlmPerfUsageError(f"{where}: expected {SHAPES}")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise LlmPerfUsageError(f"{where}: empirical_s is a list of seconds")
    return empirical(values, text=str(spec.get("text", "empirical_s")), where=where)


def _constant(text: str, arguments: list[str], where: str) -> Distribution:
    value_s = parse_duration(arguments[0], where=where)
    return Distribution(text=text, constant_s=value_s, draw=lambda _: value_s)


def _uniform(text: str, arguments: list[str], where: str) -> Distribution:
    low_s, high_s = (parse_duration(argument, where=where) for argument in arguments)
    if high_s < low_s:
        raise LlmPerfUsageError(f"{where}: {text!r}: the second bound is below the first")
    return Distribution(text=text, draw=lambda rng: rng.uniform(low_s, high_s))


def _normal(text: str, arguments: list[str], where: str) -> Distribution:
    mean_s, sd_s = (parse_duration(argument, where=where) for argument in arguments)
    return Distribution(text=text, draw=lambda rng: max(0.0, rng.normalvariate(mean_s, sd_s)))


def _lognormal(text: str, arguments: list[str], where: str) -> Distribution:
    median_s = parse_duration(arguments[0], where=where)
    sigma = _number(arguments[1], where=where)
    if median_s <= 0:
        raise LlmPerfUsageError(f"{where}: {text!r}: the median of a lognormal is above zero")
    mu = log(median_s)
    return Distribution(text=text, draw=lambda rng: min(LONGEST_S, rng.lognormvariate(mu, sigma)))


def _gamma(text: str, arguments: list[str], where: str) -> Distribution:
    mean_s, sd_s = (parse_duration(argument, where=where) for argument in arguments)
    if mean_s <= 0 or sd_s <= 0:
        raise LlmPerfUsageError(f"{where}: {text!r}: mean and deviation of a gamma are above zero")
    shape, scale_s = (mean_s / sd_s) ** 2, sd_s**2 / mean_s
    return Distribution(text=text, draw=lambda rng: rng.gammavariate(shape, scale_s))


def _exponential(text: str, arguments: list[str], where: str) -> Distribution:
    mean_s = parse_duration(arguments[0], where=where)
    if mean_s <= 0:
        raise LlmPerfUsageError(f"{where}: {text!r}: the mean of an exponential is above zero")
    return Distribution(text=text, draw=lambda rng: rng.expovariate(1 / mean_s))


def _empirical_file(text: str, arguments: list[str], where: str) -> Distribution:
    raise LlmPerfUsageError(f"{where}: {text}: the file {arguments[0]!r} has not been read; use parse_config")


def _number(text: str, *, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 5:
        raise LlmPerfUsageError(f"{where}: sigma is a number from 0 to 5, not {text!r}")
    return value


_BUILDERS: dict[str, tuple[int, Callable[[str, list[str], str], Distribution]]] = {
    "constant": (1, _constant),
    "uniform": (2, _uniform),
    "normal": (2, _normal),
    "lognormal": (2, _lognormal),
    "gamma": (2, _gamma),
    "exponential": (1, _exponential),
    "empirical": (1, _empirical_file),
}
