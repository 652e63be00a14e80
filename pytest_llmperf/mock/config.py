"""What the mock is told to be: the ``mock:`` section of slo.yaml as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock._fields import Fields
from pytest_llmperf.mock.distribution import Distribution, parse_distribution, parse_duration
from pytest_llmperf.mock.empirical import resolve_empirical
from pytest_llmperf.mock.engine import Capacity, parse_capacity
from pytest_llmperf.mock.faults import Fault, parse_fault
from pytest_llmperf.mock.include import expand
from pytest_llmperf.mock.rules import Rule, parse_rule

DIALECTS = ("vllm", "openai", "ollama", "llamacpp", "sglang", "tgi")
DEFAULT_TTFT = "lognormal(90ms, 0.1)"  # with 20 tokens, 110 ms in all
DEFAULT_ITL = "constant(1ms)"
DEFAULT_MODEL = "mock"
_LATENCY_KEYS = ("ttft", "itl", "prefill", "cold_start", "steps", "drift")
_KEYS = (
    "faults",
    "capacity",
    "version",
    "seed",
    "dialect",
    "models",
    "max_model_len",
    "latency",
    "replies",
    "user_marker",
    "log_size",
    "replay",
    "speed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """When the tokens of an answer leave, counted from the arrival of the request's last byte."""

    ttft: Distribution  #: to the first token
    itl: Distribution  #: from one token to the next
    prefill_s: float = 0.0  #: added to the time to first token for every input token that is not cached
    cold_start_s: float = 0.0  #: added to the first request
    steps: tuple[Step, ...] = ()
    drift: Drift | None = None

    def factor(self, number: int, now_s: float) -> float:
        """What delays are multiplied with for the *number*-th request, *now_s* after the start."""
        factor = 1.0
        for step in self.steps:
            if (step.after_s is None and number >= step.after) or (
                step.after_s is not None and now_s >= step.after_s
            ):
                factor = step.factor
        if self.drift is not None:
            passed = number / self.drift.per if self.drift.per_s is None else now_s / self.drift.per_s
            factor *= 1 + self.drift.rate * passed
        return factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From some request or some moment on, delays are *factor* times what was written."""

    after: int = 0  #: requests
    after_s: float | None = None  #: seconds since the start; wins over *after*
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Delays grow by *rate* of what was written with every so many requests or seconds."""

    per: int = 1
    per_s: float | None = None
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MockConfig:
    """Everything that makes one mock server different from another."""

    seed: int = 0  #: same seed and same order of requests, same delays
    dialect: str = "vllm"
    models: tuple[str, ...] = ()  #: empty: any name is answered, and "mock" is listed
    max_model_len: int = 32768  #: context window, tokens
    latency: Latency
    replies: tuple[Rule, ...] = ()
    faults: tuple[Fault, ...] = ()
    capacity: Capacity | None = None
    version: str = "0.32.0"  #: what /version says
    user_marker: str | None = None  #: rules see the text after the last one in the user message
    log_size: int = 10_000  #: how many received requests are kept
    replay: Path | None = None  #: a recording whose answers are given instead of made-up ones
    speed: float = 1.0  #: how many times faster than it was recorded
    section: str = field(repr=False, compare=False, default="{}")  #: JSON of the section, files resolved


def parse_config(
    section: Mapping[str, Any], *, where: str = "slo.yaml mock", folder: Path | None = None
) -> MockConfig:
    """The configuration that *section* describes; missing keys have their defaults.

    Files named in it are read now, relative to *folder* (the current one if None). Raises
    LlmPerfUsageError with the path of the key and what was expected.
    """
    fields = Fields(section, where=where, allowed=_KEYS)
    resolved = dict(fields.values)
    if "latency" in fields:
        latency = Fields(fields.values["latency"], where=fields.path("latency"), allowed=_LATENCY_KEYS)
        resolved["latency"] = {
            key: resolve_empirical(value, where=latency.path(key), folder=folder)
            for key, value in latency.values.items()
        }
    rules = list(expand(fields.values.get("replies") or [], where=fields.path("replies"), folder=folder))
    resolved["replies"] = [item for item, _ in rules]
    replay = fields.text("replay")
    if replay is not None:
        resolved["replay"] = str(((folder or Path.cwd()) / replay).resolve())
    try:
        text = json.dumps(resolved, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LlmPerfUsageError(f"{where}: only what JSON can hold is allowed here ({error})") from None
    return MockConfig(
        seed=fields.whole("seed", 0),
        dialect=fields.one_of("dialect", DIALECTS, "vllm"),
        models=fields.texts("models"),
        max_model_len=fields.whole("max_model_len", 32768, low=1),
        latency=parse_latency(resolved.get("latency", {}), where=fields.path("latency")),
        replies=tuple(parse_rule(item, where=path) for item, path in rules),
        faults=tuple(parse_fault(item, where=path) for item, path in fields.items("faults")),
        capacity=parse_capacity(fields.values["capacity"], where=fields.path("capacity"))
        if "capacity" in fields
        else None,
        version=fields.text("version") or "0.32.0",
        user_marker=fields.text("user_marker"),
        log_size=fields.whole("log_size", 10_000, high=1_000_000),
        replay=None if replay is None else Path(resolved["replay"]),
        speed=parse_speed(fields),
        section=text,
    )


def parse_speed(fields: Fields) -> float:
    """How many times faster than recorded, 0.001 to 1000."""
    return fields.number("speed", 1.0, low=0.001, high=1000.0)


def parse_latency(section: Mapping[str, Any], *, where: str) -> Latency:
    """The ``latency:`` part; a missing key has its default."""
    fields = Fields(section, where=where, allowed=_LATENCY_KEYS)
    return Latency(
        ttft=parse_distribution(fields.values.get("ttft", DEFAULT_TTFT), where=fields.path("ttft")),
        itl=parse_distribution(fields.values.get("itl", DEFAULT_ITL), where=fields.path("itl")),
        prefill_s=parse_duration(fields.values.get("prefill", 0), where=fields.path("prefill")),
        cold_start_s=parse_duration(fields.values.get("cold_start", 0), where=fields.path("cold_start")),
        steps=tuple(_step(item, where=path) for item, path in fields.items("steps")),
        drift=_drift(fields.values["drift"], where=fields.path("drift")) if "drift" in fields else None,
    )


def _step(section: Any, *, where: str) -> Step:
    fields = Fields(section, where=where, allowed=("after", "factor"))
    fields.require("factor")
    factor = fields.number("factor", 1.0, high=1000.0)
    after = fields.values.get("after", 0)
    if isinstance(after, str):
        return Step(after_s=parse_duration(after, where=fields.path("after")), factor=factor)
    return Step(after=fields.whole("after", 0), factor=factor)


def _drift(section: Any, *, where: str) -> Drift:
    fields = Fields(section, where=where, allowed=("per", "rate"))
    fields.require("rate")
    rate = fields.number("rate", 0.0, low=-1.0, high=100.0)
    per = fields.values.get("per", 1)
    if isinstance(per, str):
        per_s = parse_duration(per, where=fields.path("per"))
        if per_s <= 0:
            raise LlmPerfUsageError(f"{fields.path('per')}: expected a duration above zero")
        return Drift(per_s=per_s, rate=rate)
    return Drift(per=fields.whole("per", 1, low=1), rate=rate)
