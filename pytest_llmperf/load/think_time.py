"""How long a user waits between two iterations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from random import Random

from pytest_llmperf.core.duration import parse_duration
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import LOAD_ARGUMENTS

#: Draws a think time in seconds.
Think = Callable[[Random], float]

_CALL = re.compile(r"\s*([a-z]+)\s*\(([^()]*)\)\s*")


def parse_think(text: str | None) -> Think:
    """From ``2s``, ``uniform(1s, 3s)``, ``exponential(2s)`` or ``lognormal(2s, 0.5)``; None is no wait.

    ``lognormal`` takes the median and the standard deviation of the logarithm. Raises LlmPerfUsageError.
    """
    if text is None:
        return lambda _: 0.0
    try:
        found = _CALL.fullmatch(text)
        if found is None:
            seconds = parse_duration(text)
            return lambda _: seconds
        return _random(found[1], [part.strip() for part in found[2].split(",")])
    except ValueError as error:
        expected = LOAD_ARGUMENTS["think_time"]
        raise LlmPerfUsageError(f"think_time: {text!r}: {error}; expected {expected}.") from None


def _random(name: str, arguments: list[str]) -> Think:
    match name, arguments:
        case "constant", [value]:
            seconds = parse_duration(value)
            return lambda _: seconds
        case "uniform", [low, high]:
            low_s, high_s = parse_duration(low), parse_duration(high)
            if low_s > high_s:
                raise ValueError(f"{low} is more than {high}")
            return lambda rng: rng.uniform(low_s, high_s)
        case "exponential", [mean]:
            mean_s = parse_duration(mean)
            return lambda rng: rng.expovariate(1.0) * mean_s
        case "lognormal", [median, sigma]:
            log_median, spread = math.log(parse_duration(median) or math.ulp(0.0)), float(sigma)
            return lambda rng: rng.lognormvariate(log_median, spread)
    known = "constant(D), uniform(LOW, HIGH), exponential(MEAN), lognormal(MEDIAN, SIGMA)"
    raise ValueError(f"it is none of {known}")
