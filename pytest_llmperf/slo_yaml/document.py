"""A YAML file that knows the line of every value, and says in a sentence what a schema does not allow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema
import yaml

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import nearest

_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
_EMPTY = {"minLength", "minItems", "minProperties"}
_MANY = 12  #: choices beyond which only the nearest is named
_MANY_KEYS = 30  #: keys beyond which none is named where none is near


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The values of a YAML file and where each stands."""

    name: str
    root: yaml.Node | None
    values: Mapping[str, Any]

    @classmethod
    def parse(cls, name: str, text: str) -> Document:
        """The document in *text*, called *name* in errors; an empty one is an empty mapping.

        Raises LlmPerfUsageError that names the line.
        """
        try:
            root = yaml.compose(text, Loader=_Loader)
            _refuse(name, root)
            values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            hint = "; indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""
            raise LlmPerfUsageError(f"{name}:{line}  is not YAML: {error.problem}{hint}.") from None
        except yaml.YAMLError as error:
            raise LlmPerfUsageError(f"{name}  is not YAML: {str(error).splitlines()[0]}.") from None
        except RecursionError:
            raise LlmPerfUsageError(f"{name}  is nested too deeply.") from None
        return cls(name=name, root=root, values={} if values is None else values)

    def where(self, path: Sequence[str | int]) -> str:
        """``slo.yaml:7  scenarios.chat``."""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        return f"{self.name}:{self._line(path)}  {dotted.lstrip('.')}".rstrip()

    def check(self, schema: Mapping[str, Any]) -> None:
        """Raise LlmPerfUsageError for the first thing that *schema* does not allow."""
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        errors = list(validator.iter_errors(self.values))
        if errors:
            first = min(errors, key=lambda error: (self._line(_path(error)), str(_path(error))))
            raise LlmPerfUsageError(self._sentence(first))

    def _sentence(self, error: jsonschema.ValidationError) -> str:
        schema = error.schema if isinstance(error.schema, Mapping) else {}
        path, value = _path(error), error.instance
        if error.validator == "additionalProperties" and isinstance(value, Mapping):
            known = tuple(schema.get("properties", {}))
            extra = next(key for key in value if key not in known)
            kind = "an SLO key" if "p95_ms" in known else "a key here"
            hint = nearest(extra, known)
            if hint == "." and len(known) <= _MANY_KEYS:
                hint = f". Known: {', '.join(known)}."
            return f"{self.where([*path, extra])}  is not {kind}{hint}"
        if error.context and "title" not in schema and not _keys_to_choose(schema):
            return self._sentence(_nearest_miss(error.context))
        return f"{self.where(path)}  {_complaint(error, schema)}"

    def _line(self, path: Sequence[str | int]) -> int:
        node, line = self.root, 1
        for part in path:
            found = next((pair for pair in _children(node) if pair[0] == part), None)
            if found is None:
                break
            _, line, node = found
        return line


def _nearest_miss(causes: Sequence[jsonschema.ValidationError]) -> jsonschema.ValidationError:
    """What keeps a value from the alternative that was probably meant.

    That is one of the value's own kind, and there a key that does not exist before anything else.
    """
    of_kind = [cause for cause in causes if cause.path or cause.validator not in {"type", "const", "enum"}]
    unknown = [cause for cause in of_kind if cause.validator == "additionalProperties"]
    return max(unknown or of_kind or causes, key=lambda cause: len(cause.path))


def _keys_to_choose(schema: Mapping[str, Any]) -> list[str]:
    """The keys of which *schema* asks for exactly one; none where it asks for something else."""
    branches = schema.get("oneOf", ())
    if not all("required" in branch for branch in branches):
        return []
    return [key for branch in branches for key in branch["required"]]


def _path(error: jsonschema.ValidationError) -> list[str | int]:
    return list(error.absolute_path)


def _complaint(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> str:
    """What is wrong with one value: ``'150ms' is not a number``."""
    wanted: Any = error.validator_value  # whatever the schema's author wrote
    keyword, value = str(error.validator), _short(error.instance)
    if error.instance is None or keyword in _EMPTY:
        return "is empty."
    if "title" in schema:
        return f"{value} is not {schema['title']}."
    if isinstance(error.instance, Mapping) and (choices := _keys_to_choose(schema)):
        given = [key for key in choices if key in error.instance]
        return f"has {' and '.join(given) or 'no answer'}; expected one of {', '.join(choices)}."
    if keyword in _BOUNDS:
        return f"{value} is out of range; expected {_BOUNDS[keyword]} {wanted}."
    say = _SAYINGS.get(keyword)
    return f"{error.message[:200]}." if say is None else say(value, wanted, error.instance)


def _of_type(value: str, wanted: str | list[str], _: object) -> str:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    return f"{value} is not {' or '.join(_KINDS[kind] for kind in kinds)}."


def _of_choices(value: str, wanted: list[Any], instance: object) -> str:
    if len(wanted) > _MANY:
        return f"{value} is not known here{nearest(str(instance), wanted)}"
    return f"{value} is not one of {', '.join(map(str, wanted))}."


def _of_required(_: str, wanted: list[str], instance: Mapping[str, Any]) -> str:
    return f"lacks {', '.join(key for key in wanted if key not in instance)}."


_SAYINGS: dict[str, Callable[[str, Any, Any], str]] = {
    "type": _of_type,
    "enum": _of_choices,
    "const": lambda value, wanted, _: f"{value} is not supported, {wanted!r} is.",
    "required": _of_required,
}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Loader(yaml.SafeLoader):
    """Leaves dates as text, so that one schema holds for YAML and for editors."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_MERGE = "tag:yaml.org,2002:merge"


def _children(node: yaml.Node | None) -> Iterator[tuple[Hashable, int, yaml.Node]]:
    """Name, line and node of each value; those merged by ``<<`` last, since the mapping's own win."""
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value.start_mark.line + 1, value
    if isinstance(node, yaml.MappingNode):
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                yield key.value, key.start_mark.line + 1, value
        for mapping in merged:
            yield from _children(mapping)


def _refuse(name: str, node: yaml.Node | None) -> None:
    """Raise LlmPerfUsageError for what YAML takes in silence: doubles, keys that are no text, loops."""
    if node is not None and node.tag != "tag:yaml.org,2002:null" and not isinstance(node, yaml.MappingNode):
        raise LlmPerfUsageError(f"{name}:1  is no mapping; expected keys such as version: 1 and backends:.")
    _refuse_inside(name, node, (), ())


def _refuse_inside(
    name: str, node: yaml.Node | None, path: tuple[str, ...], around: tuple[yaml.Node, ...]
) -> None:
    if isinstance(node, yaml.SequenceNode):
        pairs = [(None, value) for value in node.value]
    elif isinstance(node, yaml.MappingNode):
        pairs = node.value
    else:
        return
    if any(node is outer for outer in around):
        line = node.start_mark.line + 1
        raise LlmPerfUsageError(f"{name}:{line}  {'.'.join(path)}  contains itself.")
    seen: set[Hashable] = set()
    for key, value in pairs:
        inner = path
        if key is not None:
            inner = (*path, str(key.value))
            where = f"{name}:{key.start_mark.line + 1}  {'.'.join(inner)}"
            if key.tag not in {"tag:yaml.org,2002:str", _MERGE}:
                raise LlmPerfUsageError(f"{where}  is no text as a key; write it in quotes.")
            if key.value in seen:
                raise LlmPerfUsageError(f"{where}  is there twice.")
            seen.add(key.value)
        _refuse_inside(name, value, inner, (*around, node))
