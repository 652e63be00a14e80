"""A valid instance of a JSON Schema, made from a seed."""

# ruff: noqa: S311 - replies and delays, not secrets

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.pattern import make_match

_WORDS = (
    "Roma",
    "kalem",
    "river",
    "Ankara",
    "blue",
    "seven",
    "kitap",
    "north",
    "light",
    "deniz",
    "green",
    "stone",
)
_MAX_DEPTH = 24
_MAX_SIZE = 10_000  # items or characters that a schema may demand
_FORMATS = {
    "date-time": "2026-03-14T15:09:26Z",
    "date": "2026-03-14",
    "time": "15:09:26Z",
    "duration": "PT1H",
    "email": "mail@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "uuid": "6f1c2b1e-5d0a-4c3e-9b7a-2f4d8c1e0a93",
}


@dataclass(slots=True)
class _Root:
    """The whole schema, for references, and how many more values may be made."""

    schema: Any
    left: int = _MAX_SIZE


def make_instance(schema: Any, rng: Random) -> Any:
    """Something that *schema* accepts.

    Raises Refusal where that cannot be made, as constrained decoding does. Knows what
    structured outputs use: types, enum, const, properties, items, bounds, patterns, formats,
    anyOf, oneOf, allOf and local references; not ``not`` and ``if``.
    """
    try:
        return _make(schema, rng, _Root(schema), 0)
    except (
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:
        raise _bad(f"Invalid schema ({type(error).__name__})") from None


def check_schema(schema: Any) -> None:
    """Raise Refusal when no instance of *schema* can be made."""
    make_instance(schema, Random(0))


def _make(schema: Any, rng: Random, root: _Root, depth: int) -> Any:  # noqa: C901, PLR0911
    root.left -= 1
    if depth > _MAX_DEPTH or root.left < 0:
        raise _bad("Schema is too deep or too large")
    if schema is True or schema == {}:
        return rng.choice(_WORDS)
    if not isinstance(schema, dict):
        raise _bad(f"Invalid schema: {schema!r}")
    if "$ref" in schema:
        return _make(_resolve(schema["$ref"], root), rng, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(list(schema["enum"]))
    if isinstance(schema.get("allOf"), list):
        return _make(_merge(schema, root), rng, root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return _make(_pick(schema, key, rng, root, depth), rng, root, depth + 1)
    kind = _kind(schema)
    maker = _MAKERS.get(kind)
    if maker is None:
        raise _bad(f"Invalid type: {kind}")
    return maker(schema, rng, root, depth)


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        for name, keys in _HINTS:
            if any(key in schema for key in keys):
                return name
        return "string"
    return str(kind)


_HINTS = (
    ("object", ("properties", "required", "additionalProperties")),
    ("array", ("items", "prefixItems", "minItems")),
    ("integer", ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum")),
)


def _object(schema: dict[str, Any], rng: Random, root: _Root, depth: int) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    made: dict[str, Any] = {}
    for name, part in properties.items():
        if name in required or depth < 4:
            try:
                made[name] = _make(part, rng, root, depth + 1)
            except Refusal:
                if name in required or depth == 0:
                    raise
    extra = schema.get("additionalProperties", True)
    for name in required:
        if name not in made:
            made[name] = _make(extra if isinstance(extra, dict) else True, rng, root, depth + 1)
    missing = _size(schema, "minProperties") - len(made)
    for number in range(missing):
        made[f"key{number}"] = _make(extra if isinstance(extra, dict) else True, rng, root, depth + 1)
    return made


def _size(schema: dict[str, Any], key: str) -> int:
    value = schema.get(key, 0)
    if not _is_number(value) or not 0 <= value <= _MAX_SIZE:
        raise _bad(f"{key} is not supported: {value!r}")
    return int(value)


def _array(schema: dict[str, Any], rng: Random, root: _Root, depth: int) -> list[Any]:
    prefix = schema.get("prefixItems") or []
    items = schema.get("items", True)
    low = _size(schema, "minItems")
    high = int(schema.get("maxItems", max(low, 2)))
    made = [_make(part, rng, root, depth + 1) for part in prefix[:high]]
    want = low if depth > 4 else max(low, min(high, 2))
    tries = 0
    while len(made) < want and items is not False and tries < 50 * (want + 1):
        tries += 1
        value = _make(items, rng, root, depth + 1)
        if schema.get("uniqueItems") and value in made:
            continue
        made.append(value)
    return made


def _string(schema: dict[str, Any], rng: Random, _root: _Root, _depth: int) -> str:
    if "pattern" in schema:
        return make_match(str(schema["pattern"]), rng)
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    low = _size(schema, "minLength")
    high = int(schema.get("maxLength", max(low, 40)))
    text = rng.choice(_WORDS)
    while len(text) < low:
        text += " " + rng.choice(_WORDS)
    return text[:high] if len(text[:high]) >= low else (text + "x" * low)[:low]


def _integer(schema: dict[str, Any], rng: Random, _root: _Root, _depth: int) -> int:
    step = schema.get("multipleOf", 1)
    low, high = _bounds(schema, 1)
    if isinstance(step, float) and not step.is_integer():
        step = 1
    step = max(1, int(step))
    first = -(-int(-(-low // 1)) // step)
    last = int(high // 1) // step
    return step * rng.randint(first, max(first, last))


def _number(schema: dict[str, Any], rng: Random, root: _Root, depth: int) -> float | int:  # noqa: ARG001
    if "multipleOf" in schema:
        step = float(schema["multipleOf"]) or 1.0
        low, high = _bounds(schema, step)
        first = int(-(-low // step))
        return first * schema["multipleOf"] if first * step <= high else low
    low, high = _bounds(schema, 0.01)
    rounded = round(rng.uniform(low, high), 2)
    return rounded if low <= rounded <= high else low


def _bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    low = schema.get("minimum")
    high = schema.get("maximum")
    if low is not None and high is not None and low > high:
        raise _bad("Invalid range: minimum greater than maximum")
    if _is_number(schema.get("exclusiveMinimum")):
        above = schema["exclusiveMinimum"] + step
        low = above if low is None else max(low, above)
    if _is_number(schema.get("exclusiveMaximum")):
        below = schema["exclusiveMaximum"] - step
        high = below if high is None else min(high, below)
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    if high is None:
        high = low + 100
    return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _resolve(reference: Any, root: _Root) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _bad(f"Only local references are supported: {reference!r}")
    part = root.schema
    for name in reference[1:].strip("/").split("/") if len(reference) > 1 else ():
        key = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(part, dict) or key not in part:
            raise _bad(f"Unresolved reference: {reference}")
        part = part[key]
    return part


def _merge(schema: dict[str, Any], root: _Root) -> dict[str, Any]:
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        if isinstance(part, dict) and "$ref" in part:
            part = {**_resolve(part["$ref"], root), **{k: v for k, v in part.items() if k != "$ref"}}  # noqa: PLW2901
        if not isinstance(part, dict):
            continue
        for key, value in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **value}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged[key] = value
    return merged


def _pick(schema: dict[str, Any], key: str, rng: Random, root: _Root, depth: int) -> dict[str, Any]:
    """One branch of anyOf or oneOf with what stands beside it; simple ones when deep down."""
    rest = {name: value for name, value in schema.items() if name != key}
    branches = schema[key]
    if depth > 3:  # recursive types end in their simplest branch
        branches = [one for one in branches if isinstance(one, dict) and "$ref" not in one] or branches
        branch = min(branches, key=lambda one: len(str(one)))
    else:
        branch = rng.choice(branches)
    if isinstance(branch, dict) and "$ref" in branch:
        branch = _resolve(branch["$ref"], root)
    if not isinstance(branch, dict):
        return rest
    return {**rest, **branch}


def _bad(message: str) -> Refusal:
    return Refusal(status=400, message=f"Grammar error: {message}", shape="schema", value=message)


_MAKERS: dict[str, Callable[[dict[str, Any], Random, _Root, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _schema, rng, _root, _depth: rng.random() < 0.5,
    "null": lambda _schema, _rng, _root, _depth: None,
}
