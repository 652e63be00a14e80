"""slo.yaml: backends, roles, promises, prices and the mock, checked before anything runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from pytest_llmperf import slo_schema
from pytest_llmperf.core.backend import Timeouts
from pytest_llmperf.core.baseline import MUST_MATCH
from pytest_llmperf.core.duration import parse_duration
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.core.price import Price
from pytest_llmperf.core.share import parse_share
from pytest_llmperf.core.slo import parse_arguments

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
    timeouts: Timeouts = field(default_factory=Timeouts)
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
    accept: Mapping[str, Accepted] = field(default_factory=dict)
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
    document = _Document.parse(path.name, text)
    document.check()
    return _read(document, today)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """The YAML text with the line of every value."""

    name: str
    root: yaml.Node | None
    values: Any

    @classmethod
    def parse(cls, name: str, text: str) -> _Document:
        try:
            root = yaml.compose(text, Loader=_Loader)
            values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise LlmPerfUsageError(f"{name}:{line}  is not YAML: {error.problem}.") from None
        except yaml.YAMLError as error:
            raise LlmPerfUsageError(f"{name}  is not YAML: {error}.") from None
        document = cls(name=name, root=root, values={} if values is None else values)
        document._refuse_duplicates(root, ())
        return document

    def where(self, path: Sequence[str | int]) -> str:
        """``slo.yaml:7  scenarios.chat``."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        return f"{self.name}:{self._line(path)}  {dotted.lstrip('.')}".rstrip()

    def check(self) -> None:
        """Raise LlmPerfUsageError for the first thing that the schema does not allow."""
        validator = jsonschema.Draft202012Validator(
            slo_schema.build(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        errors = sorted(
            validator.iter_errors(self.values), key=lambda error: self._line(list(error.absolute_path))
        )
        if errors:
            best = jsonschema.exceptions.best_match([errors[0]])
            raise LlmPerfUsageError(self._sentence(errors[0] if best is None else best))

    def _sentence(self, error: jsonschema.ValidationError) -> str:
        path = list(error.absolute_path)
        schema, value = error.schema, error.instance
        if (
            error.validator == "additionalProperties"
            and isinstance(schema, Mapping)
            and isinstance(value, Mapping)
        ):
            known = tuple(schema.get("properties", {}))
            extra = next(key for key in value if key not in known)
            kind = "an SLO key" if "p95_ms" in known else "a key here"
            return f"{self.where([*path, extra])}  is not {kind}{nearest(str(extra), known)}"
        return f"{self.where(path)}  {error.message}."

    def _line(self, path: Sequence[str | int]) -> int:
        node, line = self.root, 1
        for part in path:
            found = next((pair for pair in _children(node) if pair[0] == part), None)
            if found is None:
                break
            _, line, node = found
        return line

    def _refuse_duplicates(self, node: yaml.Node | None, path: tuple[Hashable, ...]) -> None:
        seen = set()
        for key, line, child in _children(node):
            if key in seen:
                raise LlmPerfUsageError(
                    f"{self.name}:{line}  {'.'.join(map(str, (*path, key)))}  is there twice."
                )
            seen.add(key)
            self._refuse_duplicates(child, (*path, key))


class _Loader(yaml.SafeLoader):
    """Leaves dates as text, so that one schema holds for YAML and for editors."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _children(node: yaml.Node | None) -> Iterator[tuple[Hashable, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key.value, key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value.start_mark.line + 1, value


def _read(document: _Document, today: dt.date) -> SloFile:
    values = document.values

    def layer(arguments: Mapping[str, Any], *path: str) -> Layer:
        checked: dict[str, Any] = {}
        for name, value in arguments.items():
            checked |= parse_arguments({name: value}, where=document.where([*path, name]))
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
        accept={
            pattern: _accepted(document, pattern, entry, today)
            for pattern, entry in section("accept").items()
        },
        must_match=tuple(section("baseline").get("must_match", MUST_MATCH)),
        mock=section("mock"),
    )


def _backend(name: str, entry: Mapping[str, Any], layer: Any) -> BackendEntry:
    timeouts = {f"{key}_s": parse_duration(value) for key, value in entry.get("timeouts", {}).items()}
    plain = {
        key: entry[key]
        for key in ("kind", "url", "model", "api_key_env", "hardware", "tokenizer")
        if key in entry
    }
    slo = {
        target: layer(limits, "backends", name, "slo", target)
        for target, limits in entry.get("slo", {}).items()
    }
    return BackendEntry(**plain, timeouts=Timeouts(**timeouts), slo=slo)


def _role(name: str, entry: Mapping[str, Any], layer: Any) -> Role:
    params = {key: value for key, value in entry.items() if key not in {"params", "budget", "slo"}}
    budget = layer(entry.get("budget", {}), "roles", name, "budget")
    return Role(
        params={**params, **entry.get("params", {})},
        slo={**budget, **layer(entry.get("slo", {}), "roles", name, "slo")},
    )


def _accepted(document: _Document, pattern: str, entry: Mapping[str, Any], today: dt.date) -> Accepted:
    until = dt.date.fromisoformat(entry["until"])
    if until < today:
        where = document.where(["accept", pattern, "until"])
        raise LlmPerfUsageError(
            f"{where}  {until} is past. Remove the entry and save a new baseline (pytest --save-baseline), "
            "or move the date."
        )
    return Accepted(max_regression=parse_share(entry["max_regression"]), until=until, reason=entry["reason"])


__all__ = ["Accepted", "BackendEntry", "Role", "SloFile", "load", "matches"]
