"""What the server's view says about a scenario, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.server_view import Mean, ServerView

#: As the report names the parts of a request's time at the server.
PARTS = {"queue": "in the queue", "prefill": "reading the prompt", "decode": "generating"}

_ELSEWHERE = "elsewhere"  #: between client and server, or in the client

_MOST = 2 / 3  #: share of a change that makes one part its reason
_SLIGHT = 0.02  #: change of the client's time, relative to it, that needs no reason
_LITTLE = 1 / 3  #: share of the client's change below which the server had no part in it
_QUEUED = 0.1  #: share of the server's time in the queue that is worth a word
_MOVED = 0.1  #: change of the cache hit rate that is worth a word


def times(view: ServerView) -> Mapping[str, Mean]:
    """The means that *view* has, by the words of the report."""
    named = {
        "queue": view.queue,
        "prefill": view.prefill,
        "decode": view.decode,
        "TTFT": view.ttft,
        "end to end": view.e2e,
        "model load": view.load,
    }
    return {name: mean for name, mean in named.items() if mean is not None}


def in_brief(view: ServerView) -> str:
    """``queue 0.1 ms, prefill 12 ms, decode 40 ms, 16 % of the prompt from its cache``."""
    parts = [f"{name} {show(mean.mean_s, 's')}" for name, mean in times(view).items() if name != "model load"]
    if view.cache_hit_rate is not None:
        parts.append(f"{show(view.cache_hit_rate, '')} of the prompt tokens from its cache")
    if view.preemptions:
        parts.append(f"{view.preemptions} preemptions")
    return ", ".join(parts)


def remarks(measurement: Measurement, *, aside: int = 0) -> list[str]:
    """What a person should know before trusting the numbers: a queue, others' requests, cold starts.

    *aside*: requests of ours that the server saw and that are not measured.
    """
    view = measurement.server
    if view is None:
        return []
    told = []
    if view.restarted:
        told.append("the server's counters fell while it was measured: it was restarted, or they were reset")
    load = measurement.load
    known = measurement.sent + aside + (0 if load is None else load.interrupted)
    # One more: a server may count the last request of the warm-up a moment late.
    if view.requests is not None and view.requests > known + 1:
        whose = "it is shared" if load is None or not load.lost else "some are of what is lost"
        told.append(
            f"the server finished {view.requests} requests meanwhile, {measurement.sent} of this scenario: "
            f"{whose}, and its view is of all of them"
        )
    elif view.others:
        told.append(f"the server was busy with {view.others} requests of somebody else")
    if view.queue is not None and view.queue.mean_s > _QUEUED * _at_server_s(view):
        told.append(f"requests waited {show(view.queue.mean_s, 's')} in the server's queue on average")
    if view.preemptions:
        told.append(f"the server ran out of KV cache and preempted {view.preemptions} times")
    if view.load is not None:
        told.append(
            f"cold starts: {view.cold_starts} measured requests waited {show(view.load.mean_s, 's')} on "
            "average for the model to be loaded; a longer keep-alive, or more warm-up, avoids that"
        )
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """Both views of the server, and by how much longer the client waited."""

    then: ServerView
    now: ServerView
    parts: Mapping[str, tuple[float, float]]  #: seconds then and now, of `PARTS`
    before_s: float  #: what the client waited on average
    change_s: float

    @property
    def where(self) -> str:
        """The part that the added time was spent in, or elsewhere; empty where none stands out."""
        moved = {name: now - then for name, (then, now) in self.parts.items()}
        server_s = sum(moved.values())
        if self.change_s <= _SLIGHT * self.before_s:
            return ""
        if server_s < _LITTLE * self.change_s:
            return _ELSEWHERE
        most = max(moved, key=lambda name: moved[name])
        return most if moved[most] >= _MOST * server_s else ""


def comparison(scenario: Scenario) -> str | None:
    """Where the time of a slower or faster scenario went; None unless both sides hold the server's view."""
    compared = _compared(scenario)
    if compared is None:
        return None
    seen = ", ".join(
        f"{name} {show(then, 's')} then and {show(new, 's')} now"
        for name, (then, new) in compared.parts.items()
        if then or new
    )
    where = compared.where
    reason = {
        "": "",
        _ELSEWHERE: ": most of the added time was not spent there, but on the way, or in the client",
        "queue": ": the added time was spent in the queue, which is load, and not a slower model",
    }.get(where, f": the added time was spent {PARTS.get(where)}")
    return f"at the server, on average: {seen or 'no time'}{reason}{_cache(compared.then, compared.now)}"


def added_time(scenario: Scenario) -> str | None:
    """``the server spent it reading the prompt (4 ms before, 40 ms now)``, to end an explanation with.

    None where the server does not tell, or no part of its time stands out.
    """
    compared = _compared(scenario)
    if compared is None or not compared.where:
        return None
    if compared.where == _ELSEWHERE:
        return "most of it was not spent at the server, but on the way, or in the client"
    then, now = compared.parts[compared.where]
    load = ", which is load, and not a slower model" if compared.where == "queue" else ""
    return (
        f"the server spent it {PARTS[compared.where]} ({show(then, 's')} before, {show(now, 's')} now){load}"
    )


def is_told(scenario: Scenario) -> bool:
    """Whether the explanation of *scenario* says already where the server spent the time."""
    added = added_time(scenario)
    return added is not None and added in (scenario.explanation or "")


def _compared(scenario: Scenario) -> _Compared | None:
    now, latencies = scenario.measurement.server, scenario.measurement.series.get("latency_s", ())
    if not scenario.compared_with or now is None:
        return None
    other = scenario.compared_with[-1]
    if other.server is None:
        return None
    before = other.series.get("latency_s", ())
    parts = {
        name: (then_mean.mean_s, now_mean.mean_s)
        for name in PARTS
        if (then_mean := times(other.server).get(name)) and (now_mean := times(now).get(name))
    }
    if not parts or not before or not latencies:
        return None
    before_s = sum(before) / len(before)
    change_s = sum(latencies) / len(latencies) - before_s
    return _Compared(then=other.server, now=now, parts=parts, before_s=before_s, change_s=change_s)


def _cache(then: ServerView, now: ServerView) -> str:
    before, after = then.cache_hit_rate, now.cache_hit_rate
    if before is None or after is None or abs(after - before) < _MOVED:
        return ""
    return f"; from its prefix cache {show(before, '')} of the prompt tokens then, {show(after, '')} now"


def _at_server_s(view: ServerView) -> float:
    """Mean time of a request at the server."""
    if view.e2e is not None:
        return view.e2e.mean_s
    return sum(mean.mean_s for mean in (view.queue, view.prefill, view.decode) if mean is not None)
