"""The server's view as run.json and the files of a baseline hold it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pytest_llmperf.core.server_view import Mean, ServerView


def to_plain(view: ServerView | None) -> dict[str, Any] | None:
    """*view* as plain values; what the server does not say is left out."""
    if view is None:
        return None
    values = ((each.name, getattr(view, each.name)) for each in fields(view))
    return {name: _plain(value) for name, value in values if value is not None}


def from_plain(plain: Mapping[str, Any] | None) -> ServerView | None:
    """What `to_plain` made *plain* of; names that this version does not know are passed over."""
    if plain is None:
        return None
    known = {each.name for each in fields(ServerView)}
    return ServerView(**{name: _value(value) for name, value in plain.items() if name in known})


def _plain(value: object) -> object:
    if isinstance(value, Mean):
        return {"mean_s": round(value.mean_s, 9), "count": value.count}
    return list(value) if isinstance(value, tuple) else value


def _value(value: Any) -> Any:  # Any: a field of ServerView, whichever
    if isinstance(value, Mapping):
        return Mean(total_s=value["mean_s"] * value["count"], count=value["count"])
    return tuple(value) if isinstance(value, list) else value
