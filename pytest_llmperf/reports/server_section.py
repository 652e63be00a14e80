"""The server's own view, in each report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_llmperf.core import server_story
from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.server_view import ServerView
from pytest_llmperf.reports.summary import Summary

#: Outcomes after which a person asks where the time went.
_ASKED = {*BROKEN, Outcome.UNPROVEN, Outcome.INCONCLUSIVE, Outcome.IMPROVED}


def sentences(rows: Sequence[Summary], *, every: bool) -> list[str]:
    """``test_router  at the server, on average: queue 0.1 ms then 40 ms now ...``.

    Of scenarios that moved and whose explanation does not say it; with *every* of all of them.
    """
    lines = []
    for row in rows:
        view = row.scenario.measurement.server
        told = server_story.comparison(row.scenario)
        asked = row.outcome in _ASKED and not server_story.is_told(row.scenario)
        if told is not None and (every or asked):
            lines.append(f"{plain(row.name)}  {plain(told)}")
        elif view is not None and every and (brief := server_story.in_brief(view)):
            lines.append(f"{plain(row.name)}  at the server, on average: {brief}")
    return lines


def table(row: Summary) -> Iterable[Sequence[str]]:
    """What the server says of one scenario, line by line: name, mean, what it was before."""
    view = row.scenario.measurement.server
    if view is None:
        return
    before = row.scenario.compared_with[-1].server if row.scenario.compared_with else None
    then = {} if before is None else server_story.times(before)
    for name, mean in server_story.times(view).items():
        yield name, show(mean.mean_s, "s"), show(then[name].mean_s, "s") if name in then else "-"
    for name, words in _COUNTS.items():
        now, earlier = _count(view, name), None if before is None else _count(before, name)
        if now is not None:
            yield words, now, earlier or "-"
    yield "according to", ", ".join(view.sources), "-" if before is None else ", ".join(before.sources)


_COUNTS = {
    "requests": "requests it finished",
    "cache_hit_rate": "prompt tokens from its prefix cache",
    "preemptions": "preemptions",
    "cold_starts": "cold starts",
    "others": "requests of others in flight",
}


def _count(view: ServerView, name: str) -> str | None:
    value = getattr(view, name)
    if value is None:
        return None
    return show(value, "") if name == "cache_hit_rate" else str(value)
