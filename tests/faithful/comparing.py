"""What two answers to the same question have in common: everything but what depends on the model's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from asking import Answered

#: Times, sizes and ids: other servers, other moments. Only their types are compared.
PASSING = frozenset(
    {
        "arguments", "bytes", "cache_n", "cached_tokens", "completion_tokens", "content", "count", "created",
        "created_cache_tokens", "decoded_token", "id", "logprob", "permission", "prompt_token_ids",
        "prompt_tokens", "rank", "response", "root", "stop_reason", "system_fingerprint", "text",
        "text_offset", "token", "token_ids", "token_logprobs", "token_strs", "tokens", "total_tokens",
    }
)  # fmt: skip
HEADERS = frozenset({"date", "content-length", "process-start-time-unix"})  # their values pass


def look(answers: list[Answered]) -> list[Any]:
    """*answers* without what passes, as something that JSON could hold."""
    return [
        {
            "status": one.first,
            "headers": [
                f"{name}: {'…' if name.lower() in HEADERS else value}" for name, value in one.headers
            ],
            "stays": one.stays,
            "body": _body(one),
        }
        for one in answers
    ]


def differences(ours: Any, theirs: Any, where: str = "") -> Iterator[str]:
    """Every place where the two differ, and how."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        yield from _of_mappings(ours, theirs, where)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{where}[{at}]")
    elif ours != theirs:
        yield f"{where}: {_short(ours)}, theirs {_short(theirs)}"


def _of_mappings(ours: dict[str, Any], theirs: dict[str, Any], where: str) -> Iterator[str]:
    for name, value in theirs.items():
        if name not in ours:
            yield f"{where}.{name}: missing, theirs {_short(value)}"
    for name, value in ours.items():
        if name not in theirs:
            yield f"{where}.{name}: too much, ours {_short(value)}"
    common = [name for name in ours if name in theirs]
    if common != [name for name in theirs if name in ours]:
        yield f"{where}: order {common}, theirs {[name for name in theirs if name in ours]}"
    for name in common:
        yield from differences(ours[name], theirs[name], f"{where}.{name}")


def shape(value: Any, key: str = "") -> Any:
    """*value* with the type in place of everything that passes; long lists of equals are one."""
    if isinstance(value, dict):
        if key in ("top_logprobs", "prompt_logprobs"):  # their keys are tokens
            return "dict"
        return {name: shape(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return _runs([shape(part, key) for part in value])
    if (key in PASSING or key.startswith(("prompt_", "predicted_"))) and value is not None:
        return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "text"
    if key == "message" and isinstance(value, str) and "context" in value:
        return re.sub(r"\d+", "N", value)  # tokens, as the server counts them
    return value


def _body(answer: Answered) -> Any:
    kind = (answer.header("content-type") or "").partition(";")[0]
    text = answer.body.decode("utf-8", "replace")
    if kind == "application/json" and text:
        return shape(json.loads(text))
    if kind == "text/event-stream":
        return _runs(_in_turn([_event(line) for line in text.split("\n\n") if line]))
    if text.startswith("# HELP"):
        return page(text)
    return text


def _event(text: str) -> Any:
    name, _, payload = text.rpartition("data: ")
    return {"framing": f"{name}data: ", "data": shape(json.loads(payload))} if payload[:1] == "{" else text


def _in_turn(events: list[Any]) -> list[Any]:
    """*events* with those of the first choice before those of the second: they come as they are ready."""

    def turn(event: Any) -> int:
        choices = event["data"].get("choices") if isinstance(event, dict) else None
        return choices[0].get("index", 0) if choices else 1_000

    return sorted(events, key=turn)


def page(text: str) -> dict[str, Any]:
    """A page for Prometheus: its families in order, with kind, help and label names."""
    families: dict[str, Any] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            families.setdefault(name, {})[word] = rest
        elif line:
            name, _, labels = line.rpartition(" ")[0].partition("{")
            families.setdefault(f"sample {name}", re.findall(r'(\w+)="', labels))
    return families


def _runs(parts: list[Any]) -> list[Any]:
    """*parts* without repetitions: how many pieces a text has depends on the tokenizer."""
    return [part for part, _ in groupby(parts)]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 600 else f"{text[:600]}…"
