"""What a scenario promises: its limits, and how it is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pytest_llmperf.core.arguments import parse_name, whole
from pytest_llmperf.core.cache import CacheMode
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import Load
from pytest_llmperf.core.metric import KEYS, METRICS, QUANTILES, Key, Shape, nearest, parse_key
from pytest_llmperf.core.share import parse_rate, parse_regression

#: What is compared with the baseline when ``gate=`` says nothing; those not measured are left out.
DEFAULT_GATE = ("p95_ms", "ttft_p95_ms", "success_rate", "pass_rate", "json_valid")

#: What may be promised of a timed step: its times, and how often it succeeds.
STEP_KEYS = ("success_rate", *(name for name, key in KEYS.items() if key.metric == "latency"))

#: Samples that the first look needs before a percentile says anything.
SAMPLES_FOR = {"p99": 100, "p999": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One promise: *statistic* of *metric* stays on the right side of *bound*."""

    key: str  #: as the user wrote it
    metric: str
    statistic: str
    bound: float  #: in the metric's unit

    @property
    def scale(self) -> float:
        """From the user's unit to the metric's."""
        return KEYS[self.key].scale if self.key in KEYS else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Everything ``llm_slo`` and slo.yaml say about one scenario, merged."""

    limits: tuple[Limit, ...] = ()
    scenario: str | None = None  #: items with the same name are judged together
    role: str | None = None
    iterations: int = 30
    warmup: int = 5
    max_iterations: int = 480
    max_regression: float = 0.10
    gate: tuple[str, ...] = DEFAULT_GATE
    cases: str | tuple[Any, ...] | None = None  #: a file's name, or the cases themselves
    accuracy: tuple[tuple[str, float], ...] = ()  #: least share of passes of each named check
    steps: tuple[tuple[str, tuple[Limit, ...]], ...] = ()  #: what each timed step promises
    cache: CacheMode = CacheMode.AS_IS
    max_cost_usd: float | None = None  #: what all requests of the scenario may cost
    expected_json: bool = False  #: whether the user set json_valid
    load: Load | None = None  #: the rhythm of the iterations; None: one after another
    notes: tuple[str, ...] = ()  #: what the merging changed, for the report

    def limit(self, metric: str, statistic: str) -> Limit | None:
        """The limit on that statistic, if there is one."""
        wanted = (metric, statistic)
        return next((limit for limit in self.limits if (limit.metric, limit.statistic) == wanted), None)

    @property
    def gates(self) -> tuple[Key, ...]:
        """What is compared with the baseline."""
        return tuple(KEYS[key] for key in self.gate)


#: Arguments of ``llm_slo`` that are not limits: name -> what is expected, for errors and the reference.
ARGUMENTS = {
    "scenario": "a name; every item with this name is pooled into one scenario, judged at the end",
    "role": "a role of slo.yaml",
    "iterations": "a whole number from 1: measured runs of the body before the first look",
    "warmup": "a whole number from 0: unmeasured runs before the first",
    "max_iterations": "a whole number from 1: where an undecided scenario stops",
    "max_regression": "a share such as 0.10 or '10%': how much worse than the baseline is allowed",
    "gate": "a list of SLO keys to compare with the baseline, such as ['p95_ms', 'ttft_p95_ms']",
    "cases": "a list of cases, or the name of a .yaml, .json, .jsonl or .csv file beside the test",
    "cache": "as-is, cold, warm or both: what the server's prefix cache may know of a prompt",
    "max_cost_usd": "a number above 0: what all requests of the scenario may cost, warm-up included",
    "accuracy": "a mapping of named checks to their least share, such as {'route': 0.95}",
    "steps": "a mapping of timed steps to their limits, such as {'submit': {'p95_ms': 20}}",
}


#: Arguments that hold one thing per name, of which an inner layer replaces or adds some.
_BY_NAME = frozenset({"accuracy", "steps"})


def parse_arguments(arguments: Mapping[str, object], *, where: str | Callable[[str], str]) -> dict[str, Any]:
    """One layer of ``llm_slo`` arguments, checked; put layers together with `merged`, then `build`.

    *where* opens every error text, such as ``test_chat.py:12  @llm_slo``; it may depend on the
    argument. Limits are kept under ``"metric statistic"``, so that a later ``p95_s`` overrides an
    earlier ``p95_ms``; two of them in one layer contradict each other.
    """
    layer: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            if name in ARGUMENTS:
                layer[name] = _PARSERS[name](value)
                continue
            limit = parse_limit(name, value)
            known = layer.setdefault(f"{limit.metric} {limit.statistic}", limit)
            if known is not limit:
                raise ValueError(f"{known.key} limits the same already; keep one of them")  # noqa: TRY301 - one place says where
        except (LlmPerfUsageError, ValueError) as error:
            place = where if isinstance(where, str) else where(name)
            raise LlmPerfUsageError(f"{place}  {_sentence(name, error)}") from None
    return layer


def merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """*layers*, outermost first, as one: the inner wins; named checks and steps are put together by name."""
    together: dict[str, Any] = {}
    for layer in layers:
        by_name = {name: (*together.get(name, ()), *layer[name]) for name in _BY_NAME & layer.keys()}
        together.update(layer)
        together.update({name: tuple(dict(pairs).items()) for name, pairs in by_name.items()})
    return together


def _sentence(name: str, error: Exception) -> str:
    if isinstance(error, LlmPerfUsageError):
        return str(error)
    expected = ARGUMENTS.get(name)
    return f"{name}: {error}" + (f"; expected {expected}." if expected else ".")


def parse_limit(key: str, value: object) -> Limit:
    """The limit *key* = *value*. Raises LlmPerfUsageError for a bad key, ValueError for a bad value."""
    parsed = parse_key(key, others=tuple(ARGUMENTS))
    metric = METRICS[parsed.metric]
    if metric.shape is Shape.PROPORTION or parsed.metric == "cache_hit_rate":
        bound = parse_rate(value)
    else:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is not a number")
        if not math.isfinite(value) or value <= 0:
            raise ValueError(f"{value!r} is out of range; expected a number above 0")
        bound = value * parsed.scale
    return Limit(key=key, metric=parsed.metric, statistic=parsed.statistic, bound=bound)


def build(layers: Mapping[str, Any], *, cap: int | None = None) -> Slo:
    """The merged *layers* as one Slo; raises the first look for percentiles that need it.

    *cap*: samples that are never exceeded, not even for that.
    """
    named = {field.name for field in fields(Slo)}
    arguments = {name: value for name, value in layers.items() if name in named}
    limits = tuple(value for value in layers.values() if isinstance(value, Limit))
    asked = arguments.pop("iterations", 30)
    maximum = arguments.pop("max_iterations", 480)
    promised = [*limits, *(limit for _, own in arguments.get("steps", ()) for limit in own)]
    statistics = {limit.statistic for limit in promised} | {
        KEYS[key].statistic for key in arguments.get("gate", ())
    }
    needs = {SAMPLES_FOR[statistic]: statistic for statistic in statistics & SAMPLES_FOR.keys()}
    first = max(asked, *needs) if needs else asked
    first = first if cap is None else min(first, cap)
    notes = []
    if first > asked:
        notes.append(f"first look raised from {asked} to {first} samples, which {needs[max(needs)]} needs")
    if needs and first < max(needs):
        notes.append(f"{needs[max(needs)]} needs {max(needs)} samples, and at most {first} are taken")
    return Slo(
        limits=limits,
        iterations=first,
        max_iterations=max(maximum, first) if cap is None else cap,
        expected_json=any(limit.metric == "json_valid" for limit in limits),
        notes=tuple(notes),
        **arguments,
    )


def _gate(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{value!r} is not a list of SLO keys")  # noqa: TRY004 - all become one usage error
    for key in value:
        parsed = parse_key(str(key))
        shape = METRICS[parsed.metric].shape
        if not (shape is Shape.PROPORTION or (shape is Shape.TIME and parsed.statistic in QUANTILES)):
            raise ValueError(
                f"{key!r} cannot be compared with a baseline; percentiles of times and proportions can"
            )
    return tuple(dict.fromkeys(str(key) for key in value))


def _cases(value: object) -> str | tuple[Any, ...]:
    if isinstance(value, str):
        return parse_name(value)
    if not isinstance(value, Sequence) or not value:
        raise ValueError(f"{value!r} is not a list with at least one case")
    return tuple(value)


def parse_usd(value: object) -> float:
    """An amount of money. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{value!r} is no number above 0")
    return float(value)


def parse_cache(value: object) -> CacheMode:
    """The mode called *value*. Raises ValueError."""
    if not isinstance(value, str) or value not in set(CacheMode):
        raise ValueError(f"{value!r} is not one of {', '.join(CacheMode)}")
    return CacheMode(value)


def _accuracy(value: object) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{value!r} is not a mapping")
    return tuple((parse_name(name), _share_of(name, share)) for name, share in value.items())


def _steps(value: object) -> tuple[tuple[str, tuple[Limit, ...]], ...]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{value!r} is not a mapping")
    return tuple((parse_name(name), _step_limits(name, limits)) for name, limits in value.items())


def _step_limits(name: object, limits: object) -> tuple[Limit, ...]:
    if not isinstance(limits, Mapping) or not limits:
        raise ValueError(f"{name}: {limits!r} is not a mapping of limits")
    return tuple(_step_limit(name, key, value) for key, value in limits.items())


def _step_limit(name: object, key: object, value: object) -> Limit:
    text = str(key)
    if text not in STEP_KEYS:
        raise ValueError(f"{name}: {text} is not a limit of a step{nearest(text, STEP_KEYS).rstrip('.')}")
    try:
        return parse_limit(text, value)
    except ValueError as error:
        raise ValueError(f"{name}.{text}: {error}") from None


def _share_of(name: object, share: object) -> float:
    try:
        return parse_rate(share)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_PARSERS = {
    "scenario": parse_name,
    "role": parse_name,
    "iterations": whole(1),
    "warmup": whole(0),
    "max_iterations": whole(1),
    "max_regression": parse_regression,
    "gate": _gate,
    "cases": _cases,
    "cache": parse_cache,
    "max_cost_usd": parse_usd,
    "accuracy": _accuracy,
    "steps": _steps,
}
