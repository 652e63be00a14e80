"""The shapes in which servers say that something went wrong."""

from __future__ import annotations

import json
import re

from pytest_llmperf.core.exchange import Failure, FailureKind
from pytest_llmperf.core.plain import plain
from pytest_llmperf.wire.json_value import JsonObject, as_object, loads

MAX_EXCERPT = 300

#: the prompt does not fit: OpenAI, vLLM, SGLang, TGI, llama.cpp, llama-cpp-python, Ollama, LM Studio
_CONTEXT_LENGTH = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length"
    r"|exceeds? the (available |model'?s? )*context"
    r"|exceeds? (the )?context (window|size|length)|longer than the model'?s? context|input is too long"
    r"|input length exceeds|prompt is too long|inputs?`? tokens \+ `?max_new_tokens|context the overflows"
    r"|greater than the context length",
    re.IGNORECASE,
)
_CONTENT_FILTER = re.compile(
    r"content_filter|content[ _]policy[ _]violation|ResponsibleAIPolicyViolation|content management policy",
    re.IGNORECASE,
)


def failure_of_status(status: int, body: bytes) -> Failure:
    """What an answer with *status* other than 2xx says."""
    text = body.decode("utf-8", errors="replace")
    try:
        parsed = loads(text)
    except ValueError:
        parsed = None
    message = _message(as_object(parsed)) or excerpt(text)
    kind = _kind(message, parsed, otherwise=FailureKind.HTTP_STATUS)
    return Failure(
        kind=kind, message=f"HTTP {status}: {message}" if message else f"HTTP {status}", status=status
    )


def failure_of_object(obj: JsonObject) -> Failure | None:
    """The error that an object inside an answer with status 200 is, None if it is none."""
    if obj.get("error") or obj.get("object") == "error" or _is_detail(obj):
        return failure_in(obj)
    return None


def failure_in(obj: JsonObject) -> Failure:
    """The error that *obj* tells, whatever its shape."""
    message = _message(obj) or excerpt(json.dumps(obj))
    return Failure(kind=_kind(message, obj, otherwise=FailureKind.STREAM_ERROR), message=message, status=200)


def failure_of_finish(reason: str) -> Failure | None:
    """The failure that a ``finish_reason`` stands for, None if it is a regular end."""
    if reason == "content_filter":
        return Failure(kind=FailureKind.CONTENT_FILTER, message="finish_reason content_filter", status=200)
    if reason in {"abort", "error"}:
        return Failure(kind=FailureKind.STREAM_ERROR, message=f"finish_reason {reason}", status=200)
    return None


def excerpt(text: str) -> str:
    """The beginning of *text* on one line, for people: it may be a stranger's, and go to a terminal."""
    return plain(" ".join(text.split()), limit=MAX_EXCERPT)


def _is_detail(obj: JsonObject) -> bool:
    return bool(obj.get("detail")) and "choices" not in obj and "done" not in obj


def _kind(message: str, parsed: object, *, otherwise: FailureKind) -> FailureKind:
    # codes and the message only: an error can also repeat the prompt
    error = as_object(as_object(parsed).get("error")) or as_object(parsed)
    inner = as_object(error.get("innererror")).get("code")
    text = f"{message} {error.get('code')} {error.get('type')} {inner}"
    if _CONTEXT_LENGTH.search(text):
        return FailureKind.CONTEXT_LENGTH
    if _CONTENT_FILTER.search(text):
        return FailureKind.CONTENT_FILTER
    return otherwise


def _message(parsed: object, *, depth: int = 3) -> str:
    """The text meant for people in an error of any shape that servers send."""
    if isinstance(parsed, str):
        return excerpt(parsed)
    if not depth:
        return ""
    if isinstance(parsed, list):
        return excerpt("; ".join(filter(None, (_message(item, depth=depth - 1) for item in parsed[:3]))))
    obj = as_object(parsed)
    found = (_message(obj.get(key), depth=depth - 1) for key in ("error", "detail", "message", "msg"))
    return next(filter(None, found), "")
