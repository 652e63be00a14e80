"""Reference tables as Markdown, made from the code, so that the documentation cannot fall behind it."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pytest_llmperf import cli, fixtures
from pytest_llmperf.core.load import KINDS, LOAD_ARGUMENTS
from pytest_llmperf.core.metric import METRICS, QUANTILES, STATISTICS, TIME_UNITS, Metric, Shape
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.slo import ARGUMENTS, DEFAULT_GATE
from pytest_llmperf.option_specs import SPECS, flag_of
from pytest_llmperf.reports.write import REPORTS, SUFFIXES
from pytest_llmperf.slo_yaml import schema as slo_schema


def options() -> str:
    """Every option with its ini key."""
    return _table(
        ("option", "ini key", "meaning"),
        ((_flag(name), f"`llm_{name}`", spec.help.replace("%%", "%")) for name, spec in SPECS.items()),
    )


def _flag(name: str) -> str:
    spec = SPECS[name]
    return f"`{flag_of(name)} {spec.metavar}`" if spec.metavar else f"`{flag_of(name)}`"


def keys() -> str:
    """Every SLO key; those of times as patterns, since there is one for each statistic and unit."""
    return _table(
        ("key", "the limit is", "of", "unit"),
        (
            (
                _key(name, metric),
                _bound(metric),
                metric.help,
                metric.unit if metric.unit != "s" else "in the key",
            )
            for name, metric in METRICS.items()
        ),
    )


def _key(name: str, metric: Metric) -> str:
    if metric.shape is not Shape.TIME:
        return f"`{name}`"
    return "`<statistic>_<unit>`" if name == "latency" else f"`{name}_<statistic>_<unit>`"


def _bound(metric: Metric) -> str:
    return "at least" if metric.higher_is_better else "at most"


def key_parts() -> str:
    """What may stand for <statistic> and <unit>."""
    return (
        f"`<statistic>` is one of {_list(STATISTICS)}; `<unit>` is one of {_list(TIME_UNITS)}. Percentiles: "
        + ", ".join(f"`{name}` is the {100 * share:g} % quantile" for name, share in QUANTILES.items())
        + "."
    )


def arguments() -> str:
    """The arguments of the marker that are not limits."""
    return _table(("argument", "expects"), ((f"`{name}`", text) for name, text in ARGUMENTS.items()))


def load_arguments() -> str:
    """The arguments of ``llm_load``."""
    return _table(("argument", "expects"), ((f"`{name}`", text) for name, text in LOAD_ARGUMENTS.items()))


def load_profiles() -> str:
    """Every profile with the arguments that make it up."""
    return _table(
        ("profile", "needs", "may have"),
        ((name, _list(sorted(kind.needs)), _list(sorted(kind.may)) or "-") for name, kind in KINDS.items()),
    )


def gates() -> str:
    """What is compared with a baseline when nobody says otherwise."""
    return _list(DEFAULT_GATE)


def outcomes() -> str:
    """The classes of a verdict with the comments that stand beside them in the code."""
    source = inspect.getsource(Outcome).splitlines()
    comments = {
        line.split('"')[1]: line.partition("#:")[2].strip() for line in source if "#:" in line and '"' in line
    }
    return _table(("outcome", "meaning"), ((f"`{outcome}`", comments[outcome]) for outcome in Outcome))


def fixture_table() -> str:
    """Every public fixture with the first paragraph of its docstring."""
    return _table(
        ("fixture", "gives"), ((f"`{name}`", text) for name, text in sorted(fixture_texts().items()))
    )


def fixture_texts() -> dict[str, str]:
    """The plugin's public fixtures by name."""
    found = {}
    for attribute, value in vars(fixtures).items():
        if type(value).__name__ != "FixtureFunctionDefinition":
            continue
        name = value.name or attribute
        if not name.startswith("_"):
            found[name] = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    return found


def reports() -> str:
    """Every report format with the suffix that names it and the first line of its module."""
    suffixes = {name: suffix for suffix, name in SUFFIXES.items()}
    return _table(
        ("format", "suffix", "what it is"),
        (
            (f"`{name}`", f"`{suffixes[name]}`" if name in suffixes else "", _first_line(target))
            for name, target in REPORTS.items()
        ),
    )


def _first_line(target: str) -> str:
    module = importlib.import_module(target.partition(":")[0])
    return (module.__doc__ or "").partition("\n")[0].replace("``", "`")


def commands() -> str:
    """Every command of ``llmperf`` with what it takes."""
    return "\n\n".join(_command(parser, text) for parser, text in _leaves(cli._parser(), ""))


def _command(parser: argparse.ArgumentParser, text: str) -> str:
    table = _table(("argument", "meaning"), _arguments(parser))
    return f"## `{parser.prog}`\n\n{parser.description or text}\n\n{table}"


def _leaves(parser: argparse.ArgumentParser, text: str) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """The parsers without further commands, each with its line of help."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser, text
    for group in groups:
        helps = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, child in group.choices.items():
            yield from _leaves(child, helps.get(name, ""))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        if action.dest != "help":
            words = " ".join(part for part in (", ".join(action.option_strings), _metavar(action)) if part)
            yield f"`{words}`", (action.help or "").replace("%%", "%")


def _metavar(action: argparse.Action) -> str:
    return "" if action.nargs == 0 else str(action.metavar or action.dest)


def modules() -> str:
    """Every module of the package with the first line of its docstring, in the order of the import layers."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    (contract,) = [
        contract
        for contract in tomllib.loads(text)["tool"]["importlinter"]["contracts"]
        if contract["id"] == "layers"
    ]
    return _table(
        ("modules of a layer", ""),
        (
            (f"`{name}`" if place == 0 else f"· `{name}`", _first_line(f"pytest_llmperf.{name}"))
            for layer in contract["layers"]
            for place, name in enumerate(sorted(re.findall(r"\w+", layer)))
        ),
    )


def slo_file() -> str:
    """The sections of slo.yaml and what each entry takes."""
    schema = slo_schema.build()
    return "\n\n".join(
        f"## `{name}`\n\n{_section(section, schema)}" for name, section in schema["properties"].items()
    )


def run_json() -> str:
    """What stands in a run.json: of the run, of each scenario, of each check."""
    schema = json.loads(files("pytest_llmperf").joinpath("schemas/run.schema.json").read_text("utf-8"))
    parts = {"The run": schema, **{f"Each {name}": schema["$defs"][name] for name in ("scenario", "check")}}
    rows = {
        title: (
            (f"`{name}`", _type(value, schema), _help(value, schema))
            for name, value in part["properties"].items()
        )
        for title, part in parts.items()
    }
    return "\n\n".join(f"**{title}**\n\n{_table(('key', 'is', ''), of)}" for title, of in rows.items())


def _section(section: dict[str, Any], schema: dict[str, Any]) -> str:
    section = _resolved(section, schema)
    text = section.get("description", "")
    if "const" in section:
        return f"{text} Always `{section['const']}`.".strip()
    entry = section.get("additionalProperties")
    if isinstance(entry, dict):
        return f"{text}\n\nA mapping of names; each entry takes:\n\n{_properties(entry, schema)}".strip()
    return f"{text}\n\n{_properties(section, schema)}".strip()


def _properties(section: dict[str, Any], schema: dict[str, Any]) -> str:
    if section.get("$ref") == "#/$defs/promises":
        return "Every SLO key and every argument of {doc}`llm_slo <markers>`."
    section = _resolved(section, schema)
    properties = {
        name: {} if value is True else value for name, value in section.get("properties", {}).items()
    }
    rows = ((f"`{name}`", _type(value, schema), _help(value, schema)) for name, value in properties.items())
    inner = ((name, _inner(value, schema)) for name, value in properties.items())
    return "\n\n".join(
        [
            _table(("key", "expects", ""), rows),
            *(f"`{name}` takes:\n\n{_properties(value, schema)}" for name, value in inner if value),
        ]
    )


def _inner(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The mapping whose keys deserve a table of their own: the value, or each entry of a list."""
    value = _resolved(value, schema)
    value = _resolved(value.get("items") or value, schema)
    return (
        value
        if any("description" in one for one in value.get("properties", {}).values() if one is not True)
        else {}
    )


def _help(value: dict[str, Any], schema: dict[str, Any]) -> str:
    general = _resolved({"$ref": value["$ref"]}, schema).get("description", "") if "$ref" in value else ""
    texts = dict.fromkeys((value.get("description", ""), general))
    return ". ".join(text.rstrip(".") for text in texts if text)


def _type(value: dict[str, Any], schema: dict[str, Any]) -> str:
    if value.get("$ref") == "#/$defs/promises":
        return "SLO keys"
    value = _resolved(value, schema)
    if words := value.get("enum", [value["const"]] if "const" in value else []):
        return ("one of " if len(words) > 1 else "") + _list(words)
    choices = value.get("anyOf") or value.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_type(one, schema) for one in choices))
    kind = value.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(_type({"type": one}, schema) for one in kind)
    if kind == "object" and value.get("properties"):
        return "mapping of " + _list(value["properties"])
    return {"object": "mapping", "array": "list", "string": "text"}.get(kind, str(kind))


def _resolved(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref", "")
    if not reference.startswith("#/$defs/"):
        return value
    target: Any = schema
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **value}


def _list(words: Iterable[object]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "options": options,
    "keys": keys,
    "key-parts": key_parts,
    "arguments": arguments,
    "load_arguments": load_arguments,
    "load_profiles": load_profiles,
    "gates": gates,
    "outcomes": outcomes,
    "fixtures": fixture_table,
    "slo-file": slo_file,
    "reports": reports,
    "run-json": run_json,
    "commands": commands,
    "modules": modules,
}
