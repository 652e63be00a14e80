"""How a JSON Schema is asked for."""

from __future__ import annotations

import re

from pytest_llmperf.wire.json_value import JsonObject, as_object, as_text


def response_format(schema: JsonObject) -> dict[str, object]:
    """The OpenAI ``response_format`` for *schema*, strict where the schema allows it."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", as_text(schema.get("title")))[:64] or "answer"
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": schema, "strict": is_strict(schema)},
    }


def is_strict(schema: object) -> bool:
    """Whether OpenAI takes *schema* as strict.

    It then has to close every object and to require every property; any other schema is answered
    with status 400: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = as_object(schema.get("properties"))
        required = schema.get("required") or []
        if schema.get("additionalProperties") is not False or set(properties) != set(required):
            return False
    return all(
        is_strict(value)
        for key, value in schema.items()
        if key not in {"enum", "const", "default", "examples"}
    )
