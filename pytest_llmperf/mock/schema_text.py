"""A JSON Schema that is sent as a text."""

from __future__ import annotations

import json
from typing import Any

from pytest_llmperf.mock.checks import Refusal


def parsed_schema(value: Any) -> Any:
    """The schema in *value*: None, an object, or the text of one. Raises Refusal for another text."""
    if not isinstance(value, str):
        return value if isinstance(value, dict) else None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Refusal(status=400, message="Invalid JSON schema", shape="schema", value=value) from None
