"""slo.yaml: backends, roles, promises, prices and the mock, checked before anything runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pytest_llmperf.core.backend import ProcessName, Timeouts
from pytest_llmperf.core.baseline import MUST_MATCH
from pytest_llmperf.core.duration import parse_duration
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import parse_load
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.price import Price
from pytest_llmperf.core.share import parse_regression
from pytest_llmperf.core.slo import Limit, parse_arguments
from pytest_llmperf.core.yardsticks import WEIGHTS, Reference, Yardsticks
from pytest_llmperf.slo_yaml import schema as slo_schema
from pytest_llmperf.slo_yaml.document import Document

#: A layer of checked ``llm_slo`` arguments, see `parse_arguments`.
Layer = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendEntry:
    """One entry of ``backends:``; None where the file says nothing."""

    kind: str | None = None
    url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    hardware: str | None = None
    tokenizer: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)  #: by role, instead of *model*
    timeouts: Timeouts = field(default_factory=Timeouts)
    process: ProcessName | None = None  #: whose memory and CPU are sampled
    slo: Mapping[str, Layer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One entry of ``roles:``: how requests of this kind are made, and what they promise."""

    params: Mapping[str, Any] = field(default_factory=dict)  #: fields of the request
    slo: Layer = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One entry of ``accept:``: a regression that is intended."""

    max_regression: float
    until: dt.date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SloFile:
    """What slo.yaml says; empty when there is none."""

    defaults: Layer = field(default_factory=dict)
    backends: Mapping[str, BackendEntry] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    scenarios: Mapping[str, Layer] = field(default_factory=dict)  #: by pattern
    prices: Mapping[str, Price] = field(default_factory=dict)
    max_cost_usd: float | None = None  #: of a session
    accept: Mapping[str, Accepted] = field(default_factory=dict)
    yardsticks: Yardsticks = field(default_factory=Yardsticks)
    must_match: tuple[str, ...] = MUST_MATCH
    mock: Mapping[str, Any] = field(default_factory=dict)

    def patterns(self, node_id: str) -> Iterator[Layer]:
        """The layers of ``scenarios:`` that apply to a test, in the file's order."""
        return (layer for pattern, layer in self.scenarios.items() if matches(node_id, pattern))


def matches(node_id: str, pattern: str) -> bool:
    """Whether *pattern* (a glob, with or without parameters) means the test *node_id*."""
    return fnmatchcase(node_id, pattern) or fnmatchcase(node_id.partition("[")[0], pattern)


def load(path: Path, *, today: dt.date) -> SloFile:
    """The checked contents of *path*.

    Raises LlmPerfUsageError that names the line, the path inside the file and what was expected.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LlmPerfUsageError(f"{path}: cannot be read ({error}); expected a YAML file in UTF-8.") from None
    document = Document.parse(path.name, text)
    document.check(slo_schema.build())
    return _read(document, today)


def _read(document: Document, today: dt.date) -> SloFile:
    values = document.values

    def layer(arguments: Mapping[str, Any], *path: str) -> Layer:
        promises = {name: value for name, value in arguments.items() if name != "load"}
        checked = parse_arguments(promises, where=lambda name: document.where([*path, name]))
        if "load" in arguments:
            checked["load"] = parse_load(
                arguments["load"], where=lambda name: document.where([*path, "load", name])
            )
        role, roles = checked.get("role"), tuple(section("roles"))
        if role is not None and role not in roles:
            where = document.where([*path, "role"])
            raise LlmPerfUsageError(f"{where}  {role!r} is not under roles:{nearest(role, roles)}")
        return checked

    def section(name: str) -> dict[str, Any]:
        found: dict[str, Any] = values.get(name, {})
        return found

    return SloFile(
        defaults=layer(section("defaults"), "defaults"),
        backends={name: _backend(name, entry, layer) for name, entry in section("backends").items()},
        roles={name: _role(name, entry, layer) for name, entry in section("roles").items()},
        scenarios={
            pattern: layer(entry, "scenarios", pattern) for pattern, entry in section("scenarios").items()
        },
        prices={model: Price(**entry) for model, entry in section("prices").items()},
        max_cost_usd=values.get("max_cost_usd"),
        accept={
            pattern: _accepted(document, pattern, entry, today)
            for pattern, entry in section("accept").items()
        },
        yardsticks=_yardsticks(section("comparison"), section("references"), layer),
        must_match=tuple(section("baseline").get("must_match", MUST_MATCH)),
        mock=section("mock"),
    )


def _backend(name: str, entry: Mapping[str, Any], layer: Any) -> BackendEntry:
    timeouts = {f"{key}_s": parse_duration(value) for key, value in entry.get("timeouts", {}).items()}
    plain = {
        key: entry[key]
        for key in ("kind", "url", "model", "models", "api_key_env", "hardware", "tokenizer")
        if key in entry
    }
    slo = {
        target: layer(limits, "backends", name, "slo", target)
        for target, limits in entry.get("slo", {}).items()
    }
    process = ProcessName(**entry["process"]) if "process" in entry else None
    return BackendEntry(**plain, timeouts=Timeouts(**timeouts), process=process, slo=slo)


def _yardsticks(comparison: Mapping[str, Any], references: Mapping[str, Any], layer: Any) -> Yardsticks:
    def limits(written: Mapping[str, Any], *path: str) -> tuple[Limit, ...]:
        return tuple(layer(written, *path).values())

    return Yardsticks(
        weights={**WEIGHTS, **comparison.get("weights", {})},
        keep_small=limits(comparison.get("keep_small", {}), "comparison", "keep_small"),
        references=tuple(
            Reference(
                name=name,
                figures=limits(
                    {key: value for key, value in entry.items() if key != "source"}, "references", name
                ),
                source=entry.get("source", ""),
            )
            for name, entry in references.items()
        ),
    )


def _role(name: str, entry: Mapping[str, Any], layer: Any) -> Role:
    params = {key: value for key, value in entry.items() if key not in {"params", "budget", "slo"}}
    budget = layer(entry.get("budget", {}), "roles", name, "budget")
    return Role(
        params={**params, **entry.get("params", {})},
        slo={**budget, **layer(entry.get("slo", {}), "roles", name, "slo")},
    )


def _accepted(document: Document, pattern: str, entry: Mapping[str, Any], today: dt.date) -> Accepted:
    until = dt.date.fromisoformat(entry["until"])
    if until < today:
        where = document.where(["accept", pattern, "until"])
        raise LlmPerfUsageError(
            f"{where}  {until} is past. Remove the entry and save a new baseline (pytest --save-baseline), "
            "or move the date."
        )
    try:
        allowed = parse_regression(entry["max_regression"])
    except ValueError as error:
        where = document.where(["accept", pattern, "max_regression"])
        raise LlmPerfUsageError(f"{where}  {error}.") from None
    return Accepted(max_regression=allowed, until=until, reason=entry["reason"])


__all__ = ["Accepted", "BackendEntry", "Role", "SloFile", "load", "matches"]
