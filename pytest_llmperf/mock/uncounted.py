"""Answers without any count of tokens, whatever the server calls it."""

from __future__ import annotations

import json
from typing import Any

from pytest_llmperf.mock.dialect import to_bytes
from pytest_llmperf.mock.plan import Late, Timing

_COUNTS = frozenset(
    {
        "cached_tokens",
        "completion_tokens",
        "eval_count",
        "generated_tokens",
        "input_length",
        "prompt_eval_count",
        "prompt_tokens",
        "timings",
        "tokens_cached",
        "tokens_evaluated",
        "tokens_predicted",
        "usage",
    }
)
_HOLDERS = ("details", "meta_info")  # where TGI and SGLang have them
_DATA = b"data: "


def uncounted(body: Late) -> Late:
    """The writer of the same body without counts."""

    def write(timing: Timing) -> bytes:
        return to_bytes(_without(json.loads(body(timing))))

    return write


def uncounted_events(events: bytes) -> bytes:
    """The same events, server-sent or lines, without counts; one that tells nothing else is left out."""
    end = b"\n\n" if events.startswith(_DATA) else b"\n"
    kept = []
    for event in events.split(end)[:-1]:
        mark = _DATA if event.startswith(_DATA) else b""
        told = json.loads(event.removeprefix(mark))
        if not ("usage" in told and told.get("choices") == []):
            kept.append(mark + to_bytes(_without(told)) + end)
    return b"".join(kept)


def _without(told: Any) -> Any:
    if isinstance(told, list):
        return [_without(one) for one in told]
    return {
        name: _without(value) if name in _HOLDERS and isinstance(value, dict) else value
        for name, value in told.items()
        if name not in _COUNTS
    }
