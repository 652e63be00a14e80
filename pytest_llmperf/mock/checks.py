"""A request that is refused, and the words for it.

They are vLLM 0.32's (pydantic's, as its error handler prints them); other dialects have words of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(kw_only=True, eq=False)
class Refusal(Exception):  # noqa: N818 - an answer, not a defect
    """A request that is answered with an error."""

    status: int
    message: str
    type: str = "BadRequestError"
    param: str | None = None
    shape: str = "plain"  #: what went wrong, for dialects with words of their own
    value: Any = None


class Problem(NamedTuple):
    """One entry of a list of what is wrong with a request."""

    type: str
    where: str
    message: str
    given: Any
    context: Any = None


TRUE_WORDS = ("true", "1", "on", "yes", "t", "y")
FALSE_WORDS = ("false", "0", "off", "no", "f", "n")
_MOST_PROBLEMS = 10  # that are told
_LONGEST_INPUT = 200  # characters of it that are told


_decode = json.JSONDecoder().raw_decode


def parse_body(body: bytes) -> Any:
    """The JSON of a request body; Refusal in FastAPI's words when it is none."""
    if not body:
        raise validation([Problem("missing", "body", "Field required", None)])
    try:
        text = body.decode()
        value, end = _decode(text)  # json.loads looks for an encoding, and for space at both ends
        if end == len(text):
            return value
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        problem = Problem("json_invalid", f"body.{error.pos}", "JSON decode error", {}, {"error": error.msg})
        refused = validation([problem], shape="json")
        refused.value = error
        raise refused from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise Refusal(
            status=400, message="There was an error parsing the body", type="Bad Request", shape="json"
        ) from None


def no_json() -> Refusal:
    """VLLM's words for a body that does not call itself JSON."""
    return Refusal(
        status=400,
        message="1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed",
        type="Bad Request",
    )


def validation(problems: list[Problem], *, shape: str = "validation") -> Refusal:
    """The refusal that lists *problems*."""
    count, first = len(problems), problems[0]
    lines = [f"{count} validation error{'s' if count > 1 else ''}:"]
    for problem in problems[:_MOST_PROBLEMS]:
        shown = {
            "type": problem.type,
            "loc": problem.where,
            "msg": problem.message,
            "input": _shown(problem.given),
        }
        if problem.context is not None:
            shown["ctx"] = problem.context
        lines.append(f"  {shown}")
    if count > _MOST_PROBLEMS:
        lines.append(f"  ...and {count - _MOST_PROBLEMS} more errors")
    return Refusal(
        status=400,
        message="\n".join(lines),
        type="Bad Request",
        param=first.where,
        shape=f"{shape}:{first.type}",
        value=first.given,
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    try:
        text = str(value)
    except ValueError:  # a number with more digits than Python writes
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_INPUT else f"{text[:_LONGEST_INPUT]}...[truncated]"


def number(value: Any, default: float) -> float:
    """A checked number field as a float."""
    return default if value is None else float(value)


def whole(value: Any, default: int) -> int:
    """A checked integer field as an int."""
    return default if value is None else int(value)


def flag(value: Any) -> bool:
    """A checked boolean field as a bool."""
    return value.lower() in TRUE_WORDS if isinstance(value, str) else bool(value)
