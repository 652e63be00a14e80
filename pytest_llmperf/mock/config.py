"""What the mock is told to be: the ``mock:`` section of slo.yaml as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock._fields import Fields
from pytest_llmperf.mock.distribution import Distribution, parse_distribution
from pytest_llmperf.mock.empirical import resolve_empirical
from pytest_llmperf.mock.rules import Rule, parse_rule

DIALECTS = ("vllm", "openai", "ollama", "llamacpp", "sglang", "tgi")
DEFAULT_TTFT = "lognormal(90ms, 0.1)"  # with 20 tokens, 110 ms in all
DEFAULT_ITL = "constant(1ms)"
DEFAULT_MODEL = "mock"
_LATENCY_KEYS = ("ttft", "itl")
_KEYS = ("seed", "dialect", "models", "max_model_len", "latency", "replies", "user_marker", "log_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """When the tokens of an answer leave, counted from the arrival of the request's last byte."""

    ttft: Distribution  #: to the first token
    itl: Distribution  #: from one token to the next


@dataclass(frozen=True, slots=True, kw_only=True)
class MockConfig:
    """Everything that makes one mock server different from another."""

    seed: int = 0  #: same seed and same order of requests, same delays
    dialect: str = "vllm"
    models: tuple[str, ...] = ()  #: empty: any name is answered, and "mock" is listed
    max_model_len: int = 32768  #: context window, tokens
    latency: Latency
    replies: tuple[Rule, ...] = ()
    user_marker: str | None = None  #: rules see the text after the last one in the user message
    log_size: int = 10_000  #: how many received requests are kept
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
        replies=tuple(parse_rule(item, where=path) for item, path in fields.items("replies")),
        user_marker=fields.text("user_marker"),
        log_size=fields.whole("log_size", 10_000, high=1_000_000),
        section=text,
    )


def parse_latency(section: Mapping[str, Any], *, where: str) -> Latency:
    """The ``latency:`` part; a missing key has its default."""
    fields = Fields(section, where=where, allowed=_LATENCY_KEYS)
    return Latency(
        ttft=parse_distribution(fields.values.get("ttft", DEFAULT_TTFT), where=fields.path("ttft")),
        itl=parse_distribution(fields.values.get("itl", DEFAULT_ITL), where=fields.path("itl")),
    )
