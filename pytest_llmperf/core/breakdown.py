"""A regression taken apart: which part of a request's time grew, in one sentence, or silence.

Means add up where percentiles do not: the mean latency is the mean time to the first token plus the mean
number of further tokens times the time each of them took. A part is named only where the samples show
that it moved, and a sentence is given only where the named parts make up most of the difference.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_llmperf.core import server_story
from pytest_llmperf.core.change import Change, change
from pytest_llmperf.core.column import Series
from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.parts import COUNTED
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.server_view import COLD_START_S
from pytest_llmperf.core.verdict import Check

#: A part with a smaller share of the difference is no cause, and causes with less together explain nothing.
_CAUSE: Final = 0.25
_EXPLAINED: Final = 0.60
#: A part of the wait for the first token that makes up this much of it explains it.
_REASON: Final = 0.5
_FEWEST_REQUESTS_APART: Final = 0.05  #: requests an iteration
_EXPLAINABLE = {*BROKEN, Outcome.UNPROVEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One scenario's series now, and of each run before, oldest first."""

    now: Series
    before: tuple[Series, ...]
    interleaved: bool = False

    def change(self, name: str) -> Change | None:
        """How the mean of the series *name* moved; None where it is unknown on either side."""
        machine = name not in COUNTED and not self.interleaved
        return change(self.now.get(name, ()), [run.get(name, ()) for run in self.before], machine=machine)

    def middle(self, name: str) -> Change | None:
        """How the median of the series *name* moved."""
        runs = [run.get(name, ()) for run in self.before]
        return change(self.now.get(name, ()), runs, machine=not self.interleaved, of=statistics.median)

    def whole(self, name: str) -> bool:
        """Whether every request has a value in the series *name*, so that means add up."""
        runs = (self.now, *self.before)
        return all(len(run.get(name, ())) == len(run.get("latency_s", ())) for run in runs)


def compared(scenario: Scenario) -> Compared | None:
    """What *scenario* was held against; None where nothing is known of it."""
    if not scenario.compared_with:
        return None
    return Compared(
        now=scenario.measurement.series,
        before=tuple(run.series for run in scenario.compared_with),
        interleaved=scenario.base is not None,
    )


def explanation(scenario: Scenario) -> str | None:
    """``TTFT +2 %, output tokens +31 %: longer answers, not a slower server``.

    None where no time of *scenario* is broken or doubtful, where nothing is there to compare with,
    and where the samples do not show the cause.
    """
    checks = [check for check in scenario.verdict.checks if _explainable(check)]
    sides = compared(scenario)
    if not checks or sides is None:
        return None
    latency = sides.change("latency_s")
    if latency is None:
        return None
    if {check.metric for check in checks} == {"task"}:
        return _task(sides, latency)
    return _tail(sides, checks) or _parts(sides, latency, server=server_story.added_time(scenario))


def _explainable(check: Check) -> bool:
    metric = METRICS.get(check.metric)  # accuracy:NAME is none of them
    return metric is not None and metric.shape is Shape.TIME and check.outcome in _EXPLAINABLE


def _task(sides: Compared, latency: Change) -> str | None:
    """An iteration that takes longer although its requests do not."""
    if not latency.steady:
        return _parts(sides, latency)
    now, before = _requests(sides.now), [_requests(run) for run in sides.before]
    if now is None or None in before:
        return None
    earlier = statistics.fmean(count for count in before if count is not None)
    if now - earlier > _FEWEST_REQUESTS_APART:
        return f"latency {latency}, {now:.3g} requests an iteration instead of {earlier:.3g}: more requests"
    return f"latency {latency}: the requests take as long as before, the test's own work takes longer"


def _requests(run: Series) -> float | None:
    """Requests of an iteration."""
    tasks = len(run.get("task_s", ()))
    return len(run.get("latency_s", ())) / tasks if tasks else None


def _tail(sides: Compared, checks: Sequence[Check]) -> str | None:
    """The slowest requests alone, where the middle did not move and a higher percentile did."""
    check = next((check for check in checks if _is_proven_tail(check)), None)
    if check is None or check.ratio is None:
        return None
    middle = sides.middle(f"{check.metric}_s")
    if middle is None or not middle.steady:
        return None
    name = "" if check.metric == "latency" else f"{_NAMES.get(f'{check.metric}_s', check.metric)} "
    facts = f"{name}p50 {middle}, {check.statistic} {100 * (check.ratio - 1):+.0f} %"
    return f"{facts}: only the slowest requests became slower{_cold(sides)}"


def _is_proven_tail(check: Check) -> bool:
    return check.outcome is Outcome.REGRESSED and check.statistic in {"p90", "p95", "p99", "p999"}


def _cold(sides: Compared) -> str:
    loads = _cold_starts(sides.now)
    if not loads or any(_cold_starts(run) for run in sides.before):
        return ""
    return f"; the server loaded the model for {loads} of them"


def _cold_starts(run: Series) -> int:
    return sum(value > COLD_START_S for value in run.get("server_load_s", ()))


#: Names of parts as sentences say them.
_NAMES = {
    "ttft_s": "TTFT",
    "pace_s": "time per token",
    "output_tokens": "output tokens",
    "input_tokens": "input tokens",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One part of the latency: how it moved, and how many seconds of the difference are its own."""

    name: str
    change: Change
    seconds: float


def _parts(sides: Compared, latency: Change, *, server: str | None = None) -> str | None:
    """The parts that grew, with those that did not beside them.

    *server*: where the server says that it spent the added time; of longer answers that is no news.
    """
    if not latency.moved or latency.difference <= 0:
        return None
    parts = _streamed(sides, latency) if sides.whole("ttft_s") else _in_one_piece(sides, latency)
    causes = [part for part in parts if part.change.moved and part.seconds >= _CAUSE * latency.difference]
    if sum(part.seconds for part in causes) < _EXPLAINED * latency.difference:
        return None
    told = [part for part in parts if part in causes or part.change.steady]
    facts = ", ".join(f"{_NAMES[part.name]} {part.change}" for part in told)
    longer = {part.name for part in causes} == {"output_tokens"}
    ending = f"; {server}" if server and not longer else ""
    return f"{facts}: {_conclusion(sides, causes, told)}{ending}"


def _streamed(sides: Compared, latency: Change) -> list[_Part]:
    """Time to the first token, and the further tokens times the time of each."""
    ttft = sides.change("ttft_s")
    if ttft is None:  # pragma: no cover - every request has one, and there are enough requests
        return []
    parts = [_Part(name="ttft_s", change=ttft, seconds=ttft.difference)]
    rest = (latency.before - ttft.before, latency.now - ttft.now)
    return parts + _tokens(sides, rest, pace=sides.change("tpot_s"), first=1)


def _in_one_piece(sides: Compared, latency: Change) -> list[_Part]:
    """The tokens times the time of each, of an answer that comes whole."""
    paces = [_paces(run) for run in (sides.now, *sides.before)]
    pace = change(paces[0], paces[1:], machine=not sides.interleaved)
    return _tokens(sides, (latency.before, latency.now), pace=pace, first=0)


def _paces(run: Series) -> list[float]:
    """Seconds per output token of every request."""
    latencies, tokens = run.get("latency_s", ()), run.get("output_tokens", ())
    if len(latencies) != len(tokens):
        return []
    return [latency / count for latency, count in zip(latencies, tokens, strict=True) if count]


def _tokens(sides: Compared, seconds: tuple[float, float], *, pace: Change | None, first: int) -> list[_Part]:
    """*seconds* before and now, shared out between the number of tokens and the time of each.

    *first*: tokens that are not among them. The product's difference is halved where both moved.
    """
    output = sides.change("output_tokens") if sides.whole("output_tokens") else None
    if output is None or pace is None or min(output.before, output.now) <= first:
        return []
    before, now = output.before - first, output.now - first
    each_before, each_now = seconds[0] / before, seconds[1] / now
    longer = (now - before) * (each_before + each_now) / 2
    slower = (each_now - each_before) * (before + now) / 2
    return [
        _Part(name="pace_s", change=pace, seconds=slower),
        _Part(name="output_tokens", change=output, seconds=longer),
    ]


def _conclusion(sides: Compared, causes: Sequence[_Part], told: Sequence[_Part]) -> str:
    names = {part.name for part in causes}
    steady = {part.name for part in told} - names
    if names == {"output_tokens"}:
        whole = {"ttft_s", "pace_s"} if sides.whole("ttft_s") else {"pace_s"}
        return "longer answers" + (", not a slower server" if whole <= steady else "")
    same = ", answers are as long as before" if "output_tokens" in steady else ""
    if names == {"ttft_s", "pace_s"}:
        return f"slower from the first token to the last{same}"
    said = [
        text
        for name, text in (
            ("output_tokens", "longer answers"),
            ("ttft_s", f"a longer wait for the first token{_reason(sides)}"),
            ("pace_s", "slower generation"),
        )
        if name in names
    ]
    return " and ".join(said) + same


def _reason(sides: Compared) -> str:
    """Why the first token came later, where that is known."""
    if _makes_up_the_wait(sides, "wait_s"):
        return " (requests left the client late)"
    if _makes_up_the_wait(sides, "server_load_s"):
        return f" (the server loaded the model for {_cold_starts(sides.now)} requests)"
    cached, prompt = sides.change("cached_share"), sides.change("input_tokens")
    if cached is not None and cached.moved and cached.difference < 0:
        then, now = show(cached.before, ""), show(cached.now, "")
        return f" (the prefix cache gave {then} of the input tokens before, {now} now)"
    if prompt is not None and prompt.moved and prompt.difference > 0:
        return f" (longer prompts: input tokens {prompt})"
    if _makes_up_the_wait(sides, "server_prompt_s"):
        return " (the server took longer to read the prompt)"
    return ""


def _makes_up_the_wait(sides: Compared, name: str) -> bool:
    """Whether the series *name*, a part of the wait for the first token, is most of what was added to it."""
    part, ttft = sides.change(name), sides.change("ttft_s")
    if part is None or ttft is None:
        return False
    return part.moved and part.difference >= _REASON * ttft.difference
