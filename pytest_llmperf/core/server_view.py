"""What the server itself says about the time that a scenario took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_llmperf.core.exchange import Exchange

#: Loading that takes longer is a cold start: Ollama tells some milliseconds also of a model that is there.
COLD_START_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A time summed over requests, so that means can be added up."""

    total_s: float
    count: int

    @property
    def mean_s(self) -> float:
        """Seconds for one request."""
        return self.total_s / self.count

    def __add__(self, other: Mean) -> Mean:
        return Mean(total_s=self.total_s + other.total_s, count=self.count + other.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """What the server says of the measured requests. None where it says nothing."""

    sources: tuple[str, ...] = ()  #: such as "vllm /metrics" and "answers"
    requests: int | None = None  #: requests that it finished, whoever sent them
    queue: Mean | None = None  #: waiting for a place
    prefill: Mean | None = None  #: reading the prompt
    decode: Mean | None = None  #: generating
    ttft: Mean | None = None
    e2e: Mean | None = None
    load: Mean | None = None  #: loading the model, of the requests that waited for it
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cache_queries: int | None = None  #: prompt tokens that were looked up in the prefix cache
    cache_hits: int | None = None  #: of them, found
    preemptions: int | None = None
    others: int = 0  #: requests running or waiting while none of ours was
    restarted: bool = False  #: its counters fell, so nothing of them can be used

    @property
    def cache_hit_rate(self) -> float | None:
        """Share of the prompt tokens that came from the prefix cache."""
        if not self.cache_queries or self.cache_hits is None:
            return None
        return self.cache_hits / self.cache_queries

    @property
    def cold_starts(self) -> int:
        """Measured requests that waited until the model was loaded."""
        return 0 if self.load is None else self.load.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a server has counted since its start.

    *totals* by the names of ServerView's fields; a time has two, such as ``queue`` and ``queue count``.
    """

    source: str
    totals: Mapping[str, float] = field(default_factory=dict)
    in_flight: int = 0  #: requests running or waiting at this moment


_TIMES = ("queue", "prefill", "decode", "ttft", "e2e")
_COUNTS = ("requests", "prompt_tokens", "output_tokens", "cache_queries", "cache_hits", "preemptions")


def between(before: Counters, after: Counters) -> ServerView:
    """What happened from *before* to *after*."""
    moved = {name: value - before.totals.get(name, 0.0) for name, value in after.totals.items()}
    others = max(before.in_flight, after.in_flight)
    if any(value < 0 for value in moved.values()):
        return ServerView(sources=(after.source,), others=others, restarted=True)
    times = {
        name: Mean(total_s=moved[name], count=round(moved[f"{name} count"]))
        for name in _TIMES
        if moved.get(f"{name} count")
    }
    counts = {name: round(moved[name]) for name in _COUNTS if name in moved}
    return ServerView(sources=(after.source,), others=others, **times, **counts)  # type: ignore[arg-type]  # named as the fields are


def told_by(exchanges: Sequence[Exchange]) -> ServerView | None:
    """What the answers themselves say: Ollama's durations, llama.cpp's timings. None: nothing."""
    prefill = _mean([exchange.server_prompt_s for exchange in exchanges])
    decode = _mean([exchange.server_generate_s for exchange in exchanges])
    load = _mean([load_s for exchange in exchanges if (load_s := exchange.server_load_s or 0) > COLD_START_S])
    if prefill is None and decode is None and load is None:
        return None
    return ServerView(sources=("answers",), prefill=prefill, decode=decode, load=load)


def _mean(values: Sequence[float | None]) -> Mean | None:
    known = [value for value in values if value is not None]
    return Mean(total_s=sum(known), count=len(known)) if known else None


def joined(metrics: ServerView | None, answers: ServerView | None) -> ServerView | None:
    """Both of one measurement; where both say something, the server's own sums are used."""
    if metrics is None or answers is None:
        return metrics or answers
    return _merged(metrics, answers, lambda one, _: one)


def pooled(one: ServerView | None, other: ServerView | None) -> ServerView | None:
    """The views of two measurements as one."""
    if one is None or other is None:
        return one or other
    return _merged(one, other, lambda first, second: first + second)


def _merged(one: ServerView, other: ServerView, how: Callable[[Any, Any], Any]) -> ServerView:
    """Any: a mean or a count; *how* takes two of a kind and gives one."""
    values = {}
    for name in (*_TIMES, "load", *_COUNTS):
        first, second = getattr(one, name), getattr(other, name)
        values[name] = second if first is None else first if second is None else how(first, second)
    return ServerView(
        sources=tuple(dict.fromkeys((*one.sources, *other.sources))),
        others=max(one.others, other.others),
        restarted=one.restarted or other.restarted,
        **values,
    )
