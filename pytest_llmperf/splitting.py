"""A scenario whose load is shared by several processes: what leads them, and what each of them hands over."""

from __future__ import annotations

import json
import math
import os
import shlex
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

import pytest

from pytest_llmperf.ab import Arm
from pytest_llmperf.core import codec
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.shards import Part, put_together
from pytest_llmperf.loading.member import Member
from pytest_llmperf.markers import node_id
from pytest_llmperf.measuring import Measuring
from pytest_llmperf.shard import Crew, LocalCrew, ShardResult, Spec, result_of, run_shard

#: Set in a process that runs a part: which one, and the file for its result.
SHARD = pytest.StashKey[tuple[Spec, Path]]()

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


def in_processes(taking_part: Sequence[tuple[pytest.Function, Measuring]], processes: int) -> None:
    """Have *processes* run the bodies of these tests, each its part of the load."""
    __tracebackhide__ = True
    measured = [measuring for _, measuring in taking_part]
    cluster = measured[0].rig.cluster
    crew: Crew = LocalCrew(processes) if cluster is None else cluster.crew(processes)
    futures: dict[Future[ShardResult], Spec] = {}
    for measuring in measured:
        measuring.watch.begin()
        measuring.sample()
    try:
        with crew.executor:
            try:
                for spec in _specs(taking_part, crew, processes):
                    futures[crew.executor.submit(run_shard, spec)] = spec
                for future in as_completed(futures):
                    if (result := result_of(future, futures[future])).text is None:
                        crew.lost(result.index)
            finally:
                crew.close()  # before the executor waits for the others
    finally:
        for measuring in measured:
            measuring.watch.end()
            measuring.remarks += crew.remarks
        # Also what came after Ctrl-C, which ends the parts and loses nothing of them.
        results = [result_of(future, spec) for future, spec in futures.items()]
        came = _take_in(taking_part, results, processes)
    if not came:
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
        "pytest_llmperf.shard_worker",
        "-p",
        "no:cacheprovider",
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
            mock_url=rig.mock.url if rig.uses_mock else None,
        )
        for index in range(processes)
    ]


def _take_in(
    taking_part: Sequence[tuple[pytest.Function, Measuring]], results: list[ShardResult], processes: int
) -> bool:
    """Put together what came, if anything did; what did not come is lost, and said."""
    parts: dict[str, list[Part]] = {node_id(item): [] for item, _ in taking_part}
    for result in sorted(results, key=lambda one: one.index):
        told = {} if result.text is None else json.loads(result.text)
        for item, measuring in taking_part:
            if result.text is None:
                measuring.remarks.append(f"process {result.index + 1} of {processes} is lost: {result.words}")
            else:
                parts[node_id(item)].append(_part(told[node_id(item)], measuring))
    if not any(parts.values()):
        return False
    for item, measuring in taking_part:
        whole = put_together(parts[node_id(item)], about=measuring.about, processes=processes)
        measuring.loaded = Whole(whole)
    return True


def _part(told: Mapping[str, Any], measuring: Measuring) -> Part:
    if told["error"] is not None and measuring.first_error is None:
        measuring.first_error = ElsewhereError(told["error"])
    measurement = codec.loads(told["scenario"], Scenario).measurement
    measuring.stopped = measuring.stopped or measurement.stopped
    requests = {name: _numbers(values) for name, values in told["requests"].items()}
    starts, ends = told["spans"]
    return Part(measurement=measurement, requests=requests, spans=(starts, ends))


def handing_over(taking_part: Sequence[tuple[pytest.Function, Measuring]]) -> None:
    """In a process that runs a part: hand over what it measured of each test."""
    _, result = taking_part[0][0].config.stash[SHARD]
    told = {node_id(item): _told(measuring) for item, measuring in taking_part}
    result.write_text(json.dumps(told, allow_nan=False), "utf-8")


def _told(measuring: Measuring) -> Mapping[str, Any]:
    member = measuring.loaded
    assert isinstance(member, Member)
    assert member.columns is not None
    requests, spans = member.columns
    error = measuring.first_error
    return {
        "error": None if error is None else "".join(traceback.format_exception(error))[-4000:],
        "scenario": codec.dumps(measuring.result),
        "requests": {name: [_null(value) for value in values] for name, values in requests.items()},
        "spans": spans,
    }


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _numbers(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
