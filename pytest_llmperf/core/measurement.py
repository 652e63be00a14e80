"""Everything that was measured of one scenario, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_llmperf.core.cache import CacheUse
from pytest_llmperf.core.column import Series
from pytest_llmperf.core.connections import Connections
from pytest_llmperf.core.doubt import Doubt
from pytest_llmperf.core.exchange import TokenSource
from pytest_llmperf.core.known import sum_known
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.resources import Resources
from pytest_llmperf.core.server_view import ServerView

#: Latencies of the warm-up that are kept.
WARMUP_KEPT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Yes out of yes and no."""

    successes: int = 0
    trials: int = 0

    @property
    def rate(self) -> float:
        """Share of successes; NaN without a trial."""
        return self.successes / self.trials if self.trials else float("nan")

    def __add__(self, other: Count) -> Count:
        return Count(successes=self.successes + other.successes, trials=self.trials + other.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """Failed requests of one kind, with one example."""

    kind: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCount:
    """Results of one named check under one label."""

    name: str
    label: str | None
    count: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTotals:
    """Tokens of the successful requests together."""

    input: int = 0
    output: int = 0
    cached: int | None = None  #: None when no server said
    reasoning: int | None = None
    sources: tuple[TokenSource, ...] = ()  #: who counted

    def __add__(self, other: TokenTotals) -> TokenTotals:
        return TokenTotals(
            input=self.input + other.input,
            output=self.output + other.output,
            cached=sum_known([self.cached, other.cached]),
            reasoning=sum_known([self.reasoning, other.reasoning]),
            sources=tuple(dict.fromkeys((*self.sources, *other.sources))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured of one scenario, warm-up left out.

    *series* holds the values of successful requests (``task_s``: of iterations that passed) in time
    order, by the name that run.json uses, such as ``latency_s``.
    """

    scenario: str  #: the test's node id, or the pooled scenario's name
    name: str  #: short, for tables
    path: str = ""  #: of the test's file, relative to the root directory
    line: int = 0  #: of the test, from 1
    backend: str = ""
    model: str = ""
    setup: str = ""  #: its label, where the session compares several
    timed: bool = False  #: no model was asked: the outermost timed steps are the requests
    steps: tuple[str, ...] = ()  #: names of the outermost timed steps
    #: Failures of a step that its requests count already, by metric; only an explicit limit counts them too.
    excused: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)  #: must match a baseline's
    iterations: int = 0
    warmup: int = 0
    #: Latencies of the last requests of the warm-up, for plots; nothing is judged by them.
    warmup_latency_s: tuple[float, ...] = ()
    series: Series = field(default_factory=dict)
    proportions: Mapping[str, Count] = field(default_factory=dict)
    #: Replies that failed an iteration by not being JSON: counted by pass_rate, shown by json_valid.
    json_failed: int = 0
    checks: tuple[CheckCount, ...] = ()
    sent: int = 0
    failed: int = 0
    failures: tuple[FailureCount, ...] = ()
    tokens: TokenTotals = TokenTotals()
    characters: int = 0  #: of the text of the successful replies
    #: Chunks that arrived in the same read as the one before, of all that follow another one.
    same_read: Count = field(default_factory=Count)
    cache: CacheUse = field(default_factory=CacheUse)
    connections: Connections = field(default_factory=Connections)
    server: ServerView | None = None  #: what the server says; None when it says nothing
    busy_s: float = 0.0  #: time during which at least one request was in flight
    wall_s: float = 0.0  #: time from the first iteration's start to the last one's end
    resources: Resources = field(default_factory=Resources)  #: what server and machine used meanwhile
    load: LoadReport | None = None  #: how a load profile was carried out; None without one
    spent_usd: float | None = None  #: for all its requests, also unmeasured ones; None without a price
    over_budget: bool = False  #: whether max_cost_usd ended it
    stopped: str = ""  #: why measuring ended, when it was not the number of iterations
    warnings: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The scenario without its set-up: what is compared over all of them."""
        return without_setup(self.scenario, self.setup)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Why times and rates may be the load generator's own and not the server's."""
        if self.load is None:
            return ()
        names = {"ttft_s": "TTFT", "latency_s": "latency", "task_s": "task time"}
        name = next((name for name in names if self.series.get(name)), None)
        if name is None:
            return tuple(self.load.doubts(None, of=""))
        values = sorted(self.series[name])
        return tuple(self.load.doubts(values[len(values) // 2], of=names[name]))

    @property
    def throughput(self) -> dict[str, float]:
        """The values of the metrics that have one value per scenario."""
        values = {}
        if self.busy_s and self.tokens.output:
            values["tokens_per_s"] = self.tokens.output / self.busy_s
        if self.wall_s:
            values["requests_per_s"] = (self.sent - self.failed) / self.wall_s
        if self.tokens.cached is not None and self.tokens.input:
            values["cache_hit_rate"] = self.tokens.cached / self.tokens.input
        return values


def without_setup(name: str, setup: str) -> str:
    """*name* of a test or scenario without the label of its set-up: ``test_x`` for ``test_x[3B]``."""
    if not setup:
        return name
    alone = name.removesuffix(f"[{setup}]")
    other = name.removesuffix(f"-{setup}]")  # behind the parameters of the test itself
    return alone if alone != name or other == name else f"{other}]"
