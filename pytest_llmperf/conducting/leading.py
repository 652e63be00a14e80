"""A scenario whose load is shared by several processes: what leads them, and what each of them hands over."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import traceback
import unittest
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from pytest_llmperf.ab.arms import Arm
from pytest_llmperf.conducting.oversight import Oversight
from pytest_llmperf.core import codec
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.shards import Part, put_together
from pytest_llmperf.load.plan import Plan
from pytest_llmperf.loading.member import Member
from pytest_llmperf.markers import node_id
from pytest_llmperf.measuring import Measuring
from pytest_llmperf.shards.shard import Crew, LocalCrew, ShardResult, Spec, result_of, run_shard
from pytest_llmperf.shards.worker import SHARD

#: What ends a test from inside one of its iterations, wherever that ran.
ENDS: dict[str, type[BaseException]] = {
    "xfail": pytest.xfail.Exception,
    "skip": pytest.skip.Exception,
    "exit": pytest.exit.Exception,
}

#: Fixtures that belong to one process, so that a body which asks for them is not split.
_OWN = ("llm_mock", "benchmark")


class ElsewhereError(Exception):
    """What failed an iteration in another process: the text is its traceback."""


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


def processes_for(taking_part: Sequence[tuple[pytest.Function, Measuring]]) -> int | None:
    """How many processes share the load of these tests, here or on a cluster; None: this one carries it out.

    Where another number was asked for, a warning says why.
    """
    item, first = taking_part[0]
    options, cluster = first.rig.options, first.rig.cluster
    if SHARD in item.config.stash or (options.cluster is None and options.processes in {None, 1}):
        return None
    own = [name for item, _ in taking_part for name in _OWN if name in item.fixturenames]
    if own:
        why = f"its {own[0]} belongs to one process"
    elif any(measuring.base is not None for _, measuring in taking_part):
        why = "two arms are compared in one process"
    elif cluster is not None:
        return options.processes or len(cluster.workers)
    else:
        return options.processes
    flag = "--llm-processes" if options.cluster is None else "--llm-cluster"
    for _, measuring in taking_part:
        measuring.remarks.append(f"{flag}: one process carried out the load, since {why}")
    return None


def in_processes(
    taking_part: Sequence[tuple[pytest.Function, Measuring]], processes: int, *, plan: Plan
) -> None:
    """Have *processes* run the bodies of these tests, each its part of *plan*."""
    __tracebackhide__ = True
    scenarios = [measuring for _, measuring in taking_part]
    cluster = scenarios[0].rig.cluster
    crew: Crew = LocalCrew(processes) if cluster is None else cluster.crew(processes)
    futures: dict[Future[ShardResult], Spec] = {}
    interrupted = True
    try:
        with contextlib.closing(crew):
            for spec in _specs(taking_part, crew, processes):
                futures[crew.executor.submit(run_shard, spec)] = spec
            Oversight(crew, futures, scenarios, plan=plan).attend()
        interrupted = False
    finally:
        for measuring in scenarios:
            measuring.watch.end()
            measuring.remarks += crew.remarks
        # Also what came after Ctrl-C, which ends the parts and loses nothing of them.
        results = [result_of(future, spec) for future, spec in futures.items()]
        parts = _take_in(taking_part, results, processes, interrupted=interrupted)
    if (ended := next(filter(None, (part.get("ended") for part in parts)), None)) is not None:
        kind, words = ended
        raise ENDS[kind](words)
    if scenarios[0].loaded is None:
        words = "; ".join(dict.fromkeys(result.words for result in results))
        pytest.fail(f"every process that shared the load is lost: {words}", pytrace=False)


def _specs(
    taking_part: Sequence[tuple[pytest.Function, Measuring]], crew: Crew, processes: int
) -> list[Spec]:
    item, measuring = taking_part[0]
    rig, config = measuring.rig, item.config
    elsewhere = rig.options.cluster is not None  # where this environment is not inherited
    arguments = [
        *(shlex.split(os.environ.get("PYTEST_ADDOPTS", "")) if elsewhere else ()),
        *config.invocation_params.args,
        *(rig.options.from_environment if elsewhere else ()),
        "-p",
        "pytest_llmperf.shards.worker",
        f"--rootdir={config.rootpath}",
        "--llm-gate=off",
        *(["-n0"] if config.pluginmanager.hasplugin("xdist") else []),
    ]
    return [
        Spec(
            node_ids=tuple(node_id(item) for item, _ in taking_part),
            arguments=tuple(map(str, arguments)),
            directory=str(config.invocation_params.dir),
            index=index,
            of=processes,
            meeting=crew.meeting,
            own_cache=config.pluginmanager.hasplugin("cacheprovider"),
            mock_url=rig.mock.url if rig.uses_mock else None,
            spent=() if rig.budget is None else (rig.budget.spent_usd, rig.budget.dearest_usd),
        )
        for index in range(processes)
    ]


def _take_in(
    taking_part: Sequence[tuple[pytest.Function, Measuring]],
    results: Sequence[ShardResult],
    processes: int,
    *,
    interrupted: bool,
) -> list[Mapping[str, Any]]:
    """Put together what came, if anything did, and give it; what did not come is lost, and said."""
    came: list[Mapping[str, Any]] = []
    budgets = {id(budget): budget for _, measuring in taking_part for budget in measuring.budgets}
    shares = [(budget, budget.share(processes).limit_usd) for budget in budgets.values()]
    for result in sorted(results, key=lambda one: one.index):
        told = None if result.text is None else json.loads(result.text)
        words = result.words if told is None else told["cut_short"]
        if told is None:
            for budget, share_usd in shares:
                budget.spent_usd += share_usd  # it may have spent as much
        else:
            came.append(told)
        if told is None or (words and not interrupted):
            for _, measuring in taking_part:
                measuring.remarks.append(f"process {result.index + 1} of {processes} is lost: {words}")
    lost = processes - len(came) + sum(bool(told["cut_short"]) and not interrupted for told in came)
    for item, measuring in taking_part:
        own = [told["tests"][node_id(item)] for told in came if node_id(item) in told["tests"]]
        if parts := [_part(one, measuring) for one in own]:
            whole = put_together(parts, about=measuring.about, processes=processes, lost=lost)
            measuring.loaded = Whole(whole)
            measuring.generators = [part.measurement.resources for part in parts]
    return came


def _part(told: Mapping[str, Any], measuring: Measuring) -> Part:
    if told["error"] is not None and measuring.first_error is None:
        measuring.first_error = ElsewhereError(told["error"])
    measurement = codec.loads(told["scenario"], Scenario).measurement
    measuring.stopped = measuring.stopped or measurement.stopped
    measuring.over_budget = measuring.over_budget or measurement.over_budget
    measuring.spent(measurement.spent_usd or 0.0, dearest_usd=told["dearest_usd"])
    requests = {name: codec.samples_of_text(text) for name, text in told["requests"].items()}
    starts, ends = map(codec.samples_of_text, told["spans"])
    return Part(measurement=measurement, requests=requests, spans=(starts, ends))


def only_its_share(taking_part: Sequence[Measuring], spec: Spec) -> None:
    """In a process that runs a part: what is left of every budget, and the cases, are shared too."""
    session = taking_part[0].rig.budget
    if session is not None and spec.spent:
        session.spent_usd, session.dearest_usd = spec.spent
    shared = None if session is None else session.share(spec.of)
    for measuring in taking_part:
        measuring.budgets = [
            shared if budget is session and shared is not None else budget.share(spec.of)
            for budget in measuring.budgets
        ]
        if measuring.cases is not None:
            measuring.cases = itertools.islice(measuring.cases, spec.index, None, spec.of)


def handing_over(
    taking_part: Sequence[tuple[pytest.Function, Measuring]], error: BaseException | None = None
) -> None:
    """In a process that runs a part: hand over what it measured of each test, before *error* ended it."""
    _, result = taking_part[0][0].config.stash[SHARD]
    ended = "skip" if isinstance(error, unittest.SkipTest) else None
    ended = next((kind for kind, one in ENDS.items() if isinstance(error, one)), ended)
    told = {
        "ended": None if ended is None else (ended, str(error)),
        "cut_short": ""
        if error is None or ended is not None
        else f"it was interrupted ({type(error).__name__})",
        "tests": {
            node_id(item): told for item, measuring in taking_part if (told := _told(measuring)) is not None
        },
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
        "error": None if error is None else "".join(traceback.format_exception(error))[-4000:],
        "scenario": codec.dumps(measuring.result),
        "dearest_usd": max((budget.dearest_usd for budget in measuring.budgets), default=0.0),
        "requests": {name: codec.samples_as_text(values) for name, values in requests.items()},
        "spans": [codec.samples_as_text(values) for values in spans],
    }
