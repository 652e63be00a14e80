"""What is measured: one table, from which SLO keys, the slo.yaml schema, reports and docs follow.

Definitions and their sources are in docs/explanation/measuring.md. Every value is in the unit that
the table names: seconds, tokens, plain ratios.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import Exchange


class Shape(StrEnum):
    """What kind of quantity a metric is, which decides how it is limited and gated."""

    TIME = "time"  #: a value per request (or per iteration), limited by its percentiles
    PROPORTION = "proportion"  #: yes or no per request (or per iteration), limited from below
    AMOUNT = "amount"  #: a value per request with one statistic of its own, limited from above
    THROUGHPUT = "throughput"  #: one value per scenario, limited from below
    RESOURCE = "resource"  #: sampled while a scenario is measured; one peak or mean, see `core.resources`


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One line of the table."""

    shape: Shape
    unit: str  #: of the values: "s", "tokens", "USD", "1/s", "MB", "%", or "" for a ratio
    help: str  #: one line for the reference
    of: Callable[[Exchange], float | None] | None = None  #: None: not a property of one request
    statistic: str = ""  #: the one statistic of an amount, proportion, throughput or resource
    resource: str = ""  #: of a resource, which of `core.resources.GAUGES` it is about
    at_least: bool = False  #: a resource that is limited from below

    @property
    def higher_is_better(self) -> bool:
        """Whether limits of this metric are lower bounds."""
        return self.at_least or self.shape in {Shape.PROPORTION, Shape.THROUGHPUT}


def itl_s(exchange: Exchange) -> float | None:
    """Inter-token latency: mean gap between content chunks after the first, one value per request.

    The first gap is kept: it follows the first token. None with fewer than two chunks.
    """
    gaps = [later - earlier for earlier, later in pairwise(exchange.chunk_s)]
    return sum(gaps) / len(gaps) if gaps else None


def tpot_s(exchange: Exchange) -> float | None:
    """Time per output token after the first: (latency - TTFT) / (output tokens - 1)."""
    output = exchange.tokens.output if exchange.tokens else None
    if exchange.ttft_s is None or output is None or output < 2:
        return None
    return (exchange.latency_s - exchange.ttft_s) / (output - 1)


def _latency_s(exchange: Exchange) -> float | None:
    return exchange.latency_s


def _ttft_s(exchange: Exchange) -> float | None:
    return exchange.ttft_s


def _input_tokens(exchange: Exchange) -> float | None:
    return exchange.tokens.input if exchange.tokens else None


def _output_tokens(exchange: Exchange) -> float | None:
    return exchange.tokens.output if exchange.tokens else None


def _total_tokens(exchange: Exchange) -> float | None:
    return exchange.tokens.total if exchange.tokens else None


METRICS: dict[str, Metric] = {
    "latency": Metric(shape=Shape.TIME, unit="s", of=_latency_s, help="request due to last byte"),
    "ttft": Metric(shape=Shape.TIME, unit="s", of=_ttft_s, help="request due to first token"),
    "itl": Metric(shape=Shape.TIME, unit="s", of=itl_s, help="mean gap between content chunks of a request"),
    "tpot": Metric(shape=Shape.TIME, unit="s", of=tpot_s, help="(latency - TTFT) / (output tokens - 1)"),
    "task": Metric(shape=Shape.TIME, unit="s", help="wall time of one iteration of the test"),
    "success_rate": Metric(shape=Shape.PROPORTION, unit="", statistic="rate", help="requests that succeeded"),
    "pass_rate": Metric(shape=Shape.PROPORTION, unit="", statistic="rate", help="iterations that passed"),
    "json_valid": Metric(
        shape=Shape.PROPORTION,
        unit="",
        statistic="rate",
        help="replies that are valid JSON, and valid against their schema when there is one",
    ),
    "goodput": Metric(
        shape=Shape.PROPORTION,
        unit="",
        statistic="rate",
        help="requests that succeeded within every time limit of the scenario",
    ),
    "tokens_per_s": Metric(
        shape=Shape.THROUGHPUT,
        unit="1/s",
        statistic="rate",
        help="output tokens per second during which a request was in flight",
    ),
    "requests_per_s": Metric(
        shape=Shape.THROUGHPUT,
        unit="1/s",
        statistic="rate",
        help="successful requests per second of measuring",
    ),
    "cache_hit_rate": Metric(
        shape=Shape.THROUGHPUT,
        unit="",
        statistic="rate",
        help="share of the input tokens that the server took from its prefix cache",
    ),
    "input_tokens": Metric(
        shape=Shape.AMOUNT, unit="tokens", of=_input_tokens, statistic="max", help="input tokens of a request"
    ),
    "output_tokens": Metric(
        shape=Shape.AMOUNT,
        unit="tokens",
        of=_output_tokens,
        statistic="max",
        help="output tokens of a request",
    ),
    "total_tokens": Metric(
        shape=Shape.AMOUNT, unit="tokens", of=_total_tokens, statistic="max", help="tokens of a request"
    ),
    "cost_usd": Metric(shape=Shape.AMOUNT, unit="USD", statistic="mean", help="mean price of a request"),
    "rss_mb": Metric(
        shape=Shape.RESOURCE,
        unit="MB",
        statistic="peak",
        resource="rss_mb",
        help="peak of the resident memory of the server's processes; 1 MB is 1 000 000 bytes",
    ),
    "cpu_percent": Metric(
        shape=Shape.RESOURCE,
        unit="%",
        statistic="mean",
        resource="cpu_percent",
        help="mean CPU of the server's processes; one busy core is 100",
    ),
    "gpu_memory_mb": Metric(
        shape=Shape.RESOURCE,
        unit="MB",
        statistic="peak",
        resource="gpu_memory_mb",
        help="peak of the memory in use on the server's GPUs; 1 MB is 1 000 000 bytes",
    ),
    "gpu_percent": Metric(
        shape=Shape.RESOURCE,
        unit="%",
        statistic="mean",
        resource="gpu_percent",
        help="mean utilisation of the server's GPUs",
    ),
    "gpu_percent_min": Metric(
        shape=Shape.RESOURCE,
        unit="%",
        statistic="mean",
        resource="gpu_percent",
        at_least=True,
        help="mean utilisation of the server's GPUs, which must not idle",
    ),
}

#: Quantile of every percentile that a key may ask for.
QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
STATISTICS = (*QUANTILES, "mean", "max")
TIME_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


#: How the metric of a timed step begins: ``step:submit``.
STEP = "step:"
_STEP = Metric(shape=Shape.TIME, unit="s", help="time of a step, from its start to its end")


def metric_of(name: str) -> Metric:
    """The metric called *name*, which may be that of a timed step."""
    return _STEP if name.startswith(STEP) else METRICS[name]


def series_name(metric: str) -> str:
    """Name of the metric's values in a report: ``latency`` is kept as ``latency_s``."""
    return f"{metric}_s" if metric_of(metric).shape is Shape.TIME else metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One SLO key taken apart: ``ttft_p95_ms`` is ttft, p95, 0.001."""

    metric: str
    statistic: str
    scale: float  #: from the user's unit to the metric's


def _keys() -> dict[str, Key]:
    keys = {}
    for name, metric in METRICS.items():
        if metric.shape is not Shape.TIME:
            keys[name] = Key(metric=name, statistic=metric.statistic, scale=1.0)
            continue
        prefix = "" if name == "latency" else f"{name}_"
        for statistic in STATISTICS:
            for unit, scale in TIME_UNITS.items():
                keys[f"{prefix}{statistic}_{unit}"] = Key(metric=name, statistic=statistic, scale=scale)
                if name == "latency":
                    keys[f"latency_{statistic}_{unit}"] = keys[f"{statistic}_{unit}"]
    return keys


#: Every SLO key a user may write.
KEYS: dict[str, Key] = _keys()


def parse_key(text: str, *, others: tuple[str, ...] = ()) -> Key:
    """The parts of the SLO key *text*.

    *others* are words that are also allowed in the same place, so that the nearest right one can
    be named. Raises LlmPerfUsageError for an unknown key.
    """
    key = KEYS.get(text)
    if key is None:
        raise LlmPerfUsageError(f"{text} is not an SLO key{nearest(text, (*KEYS, *others))}")
    return key


#: What other tools call it: a part of a key, by another name.
_ALSO = {
    "median": "p50",
    "avg": "mean",
    "average": "mean",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "msec": "ms",
}


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence: '. Did you mean "p95_ms"?', or just a full stop."""
    asked = [_ALSO.get(part, part) for part in word.lower().split("_") if part]
    text = "_".join(asked)
    likeness = {key: difflib.SequenceMatcher(None, text, key.lower()).ratio() for key in known}
    # A key with parts missing is meant before one that merely looks alike: "ttft_ms" is no "ttft_max_s".
    whole = {key: 1.0 for key in likeness if asked and set(asked) <= set(key.lower().split("_"))}
    near = whole or {key: share for key, share in likeness.items() if share >= 0.6}
    if not near:
        return "."
    return f'. Did you mean "{max(near, key=lambda key: (near[key], *_usual(key)))}"?'


def _usual(key: str) -> tuple[bool, bool, int]:
    """Order among equally near keys: the statistic and unit that most people want, and the short one."""
    parts = key.split("_")
    return "p95" in parts, "ms" in parts, -len(key)
