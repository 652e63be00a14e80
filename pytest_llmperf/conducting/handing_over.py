"""What a process that ran a part of a load tells the session that leads: written there, and taken in here."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_llmperf.ab.arms import Arm
from pytest_llmperf.conducting.elsewhere import in_words, of_words, traceback_of
from pytest_llmperf.conducting.taking_part import TakingPart
from pytest_llmperf.core import codec
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.shards import Part, put_together
from pytest_llmperf.core.timeline import with_server
from pytest_llmperf.loading.member import Member
from pytest_llmperf.markers import node_id
from pytest_llmperf.measuring import Measuring
from pytest_llmperf.probes.sampler import Sampler
from pytest_llmperf.shards.shard import ShardResult, Spec
from pytest_llmperf.shards.worker import SHARD

#: What ends this process alone, from outside; whatever else ends it ends the test, as in a single process.
_INTERRUPTS = (KeyboardInterrupt, asyncio.CancelledError)


def only_its_share(parts: Sequence[TakingPart], spec: Spec) -> None:
    """In a process that runs a part: what is left of every budget, and the cases, are shared too."""
    session = parts[0].measuring.rig.budget
    if session is not None and spec.spent:
        session.spent_usd, session.dearest_usd = spec.spent
    shared = None if session is None else session.share(spec.of)
    for measuring in (part.measuring for part in parts):
        measuring.budgets = [
            shared if budget is session and shared is not None else budget.share(spec.of)
            for budget in measuring.budgets
        ]
        if measuring.cases is not None:
            measuring.cases = itertools.islice(measuring.cases, spec.index, None, spec.of)


def hand_over(parts: Sequence[TakingPart], error: BaseException | None = None) -> None:
    """In a process that runs a part: hand over what it measured of each test, before *error* ended it."""
    _, result = parts[0].item.config.stash[SHARD]
    interrupted = isinstance(error, _INTERRUPTS)
    tests = {node_id(part.item): _told(part.measuring) for part in parts}
    told = {
        "ended": None if error is None or interrupted else in_words(error),
        "cut_short": f"it was interrupted ({type(error).__name__})" if interrupted else "",
        "tests": {name: test for name, test in tests.items() if test is not None},
    }
    whole = result.with_suffix(".whole")  # it may be killed while it writes
    whole.write_text(json.dumps(told, allow_nan=False), "utf-8")
    whole.replace(result)


def _told(measuring: Measuring) -> Mapping[str, Any] | None:
    member = measuring.loaded
    assert isinstance(member, Member)
    if member.columns is None:
        return None  # it ended before anything was measured
    requests, spans = member.columns
    error = measuring.first_error
    return {
        "error": None if error is None else traceback_of(error),
        "scenario": codec.dumps(measuring.result),
        "dearest_usd": max((budget.dearest_usd for budget in measuring.budgets), default=0.0),
        "requests": {name: codec.samples_as_text(values) for name, values in requests.items()},
        "spans": [codec.samples_as_text(values) for values in spans],
    }


class Whole:
    """The samples of all parts, as `measuring.Loaded`."""

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement

    def measured(self, arm: Arm) -> Measurement:  # noqa: ARG002 - several processes have one arm
        """What was measured."""
        return self._measurement

    @property
    def count(self) -> int:
        """How many iterations ended."""
        return self._measurement.iterations


def take_in(
    parts: Sequence[TakingPart], results: Sequence[ShardResult], processes: int, *, interrupted: bool
) -> list[Mapping[str, Any]]:
    """Put together what came, if anything did, and give it; what did not come is lost, and said."""
    came: list[Mapping[str, Any]] = []
    budgets = {id(budget): budget for part in parts for budget in part.measuring.budgets}
    shares = [(budget, budget.share(processes).limit_usd) for budget in budgets.values()]
    lost = processes - len(results)
    for result in sorted(results, key=lambda one: one.index):
        told = None if result.text is None else json.loads(result.text)
        words = result.words if told is None else told["cut_short"]
        if told is None:
            for budget, share_usd in shares:
                budget.spent_usd += share_usd  # it may have spent as much
        else:
            came.append(told)
        if told is None or (words and not interrupted):
            lost += 1
            for part in parts:
                part.measuring.remarks.append(f"process {result.index + 1} of {processes} is lost: {words}")
    for part in parts:
        name, measuring = node_id(part.item), part.measuring
        shards = [_shard(told["tests"][name], measuring) for told in came if name in told["tests"]]
        if shards:
            whole = put_together(shards, about=measuring.about, processes=processes, lost=lost)
            measuring.loaded = Whole(_with_server(whole, measuring.sampler))
            measuring.generators = [shard.measurement.resources for shard in shards]
    _set_aside([part.measuring for part in parts])
    return came


def _with_server(whole: Measurement, sampler: Sampler | None) -> Measurement:
    """*whole* with what the server said of itself, which the leader's *sampler* has read for all parts."""
    if whole.load is None or sampler is None:
        return whole
    line = with_server(whole.load.timeline, sampler.readings, began_s=sampler.began_s)
    return replace(whole, load=replace(whole.load, timeline=line))


def _set_aside(scenarios: Sequence[Measuring]) -> None:
    """What the server saw of the others of a mix; of a load of which nothing came it tells nothing."""
    measured = [None if one.loaded is None else one.loaded.measured(Arm.CANDIDATE) for one in scenarios]
    seen = [0 if one is None else one.sent + (one.load.interrupted if one.load else 0) for one in measured]
    for measuring, own in zip(scenarios, seen, strict=True):
        measuring.watch.aside = sum(seen) - own
        if measuring.loaded is None:
            measuring.watch.views.clear()


def _shard(told: Mapping[str, Any], measuring: Measuring) -> Part:
    if told["error"] is not None and measuring.first_error is None:
        measuring.first_error = of_words("fail", told["error"])
    measurement = codec.loads(told["scenario"], Scenario).measurement
    measuring.stopped = measuring.stopped or measurement.stopped
    measuring.over_budget = measuring.over_budget or measurement.over_budget
    measuring.spent(measurement.spent_usd or 0.0, dearest_usd=told["dearest_usd"])
    requests = {name: codec.samples_of_text(text) for name, text in told["requests"].items()}
    starts, ends = map(codec.samples_of_text, told["spans"])
    return Part(measurement=measurement, requests=requests, spans=(starts, ends))
