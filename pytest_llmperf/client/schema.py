"""Whether a reply is the JSON that was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import jsonschema
from jsonschema.validators import validator_for

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.wire.json_value import JsonObject, as_object, loads


class Check(Protocol):
    """Reads the text of a reply. Raises ValueError, which says what is wrong with it."""

    def __call__(self, text: str) -> object:
        """The parsed JSON."""
        ...


class Schemas:
    """Compiles every schema once."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def check(self, schema: JsonObject) -> Check:
        """What reads a reply that must match *schema*. Raises LlmPerfUsageError."""
        try:
            key = json.dumps(schema, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise LlmPerfUsageError(f"schema= is not JSON: {error}") from None
        if key not in self._checks:
            self._checks[key] = _compiled(json.loads(key))
        return self._checks[key]

    def asked_by(self, params: Mapping[str, object]) -> Check | None:
        """What reads the reply to a request with *params*; None where they ask for no JSON.

        Raises LlmPerfUsageError.
        """
        asked = as_object(params.get("response_format"))
        if asked.get("type") == "json_schema":
            return self.check(as_object(as_object(asked.get("json_schema")).get("schema")))
        if asked.get("type") == "json_object" or params.get("format") == "json":
            return loads
        schema = as_object(params.get("format"))
        return self.check(schema) if schema else None


def as_schema(schema: object) -> JsonObject | None:
    """A JSON Schema from a mapping or from a pydantic model. Raises LlmPerfUsageError."""
    if schema is None or isinstance(schema, Mapping):
        return schema
    made = getattr(schema, "model_json_schema", None)
    if made is not None:
        return as_object(made())
    raise LlmPerfUsageError(
        f"schema= takes a JSON Schema as a dict or a pydantic model, not {type(schema).__name__}"
    )


def _compiled(schema: dict[str, Any]) -> Check:  # Any: jsonschema takes no other mapping
    cls = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        cls.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise LlmPerfUsageError(f"schema= is not a JSON Schema: {error.message}") from None
    validator = cls(schema)

    def check(text: str) -> object:
        parsed: Any = loads(text)  # Any: jsonschema's own union of JSON values
        error = next(validator.iter_errors(parsed), None)
        if error is not None:
            raise ValueError(f"{error.json_path}: {error.message}")
        return parsed

    return check
