"""A scenario whose load is shared by several processes: what leads them, and what each of them hands over."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmperf.ab import Arm
from pytest_llmperf.core import codec
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.shards import Part, put_together
from pytest_llmperf.loading import Member
from pytest_llmperf.markers import node_id
from pytest_llmperf.repetition import Repetition
from pytest_llmperf.shard import Host, ShardResult, Spec, local_executor, run_all

#: Set in a process that runs a part: which one, and the file for its result.
SHARD = pytest.StashKey[tuple[Spec, Path]]()

#: Fixtures that belong to one process, so that a body which asks for them is not split.
_OWN = ("llm_mock", "benchmark")


class ElsewhereError(Exception):
    """What failed an iteration in another process: the text is its traceback."""


class Whole:
    """The samples of all parts, as `repetition.Loaded`."""

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement

    def measured(self, arm: Arm) -> Measurement:  # noqa: ARG002 - several processes have one arm
        """What was measured."""
        return self._measurement

    @property
    def count(self) -> int:
        """How many iterations ended."""
        return self._measurement.iterations


def processes_for(item: pytest.Function, repetition: Repetition) -> int:
    """How many processes share the load of *item*; where fewer than asked for, a warning says why."""
    asked = repetition.rig.options.processes
    if asked == 1 or SHARD in item.config.stash:
        return 1
    own = [name for name in _OWN if name in item.fixturenames]
    if own:
        why = f"its {own[0]} belongs to one process"
    elif repetition.base is not None:
        why = "two arms are compared in one process"
    elif repetition.slo.load is not None and repetition.slo.load.mix is not None:
        why = "a mix runs in one process"
    else:
        return asked
    repetition.remarks.append(f"--llm-processes: one process carried out the load, since {why}")
    return 1


def in_processes(item: pytest.Function, repetition: Repetition, processes: int) -> Callable[..., None]:
    """A body that has *processes* run the test's own, each its part of the load."""

    def lead(**_: Any) -> None:
        __tracebackhide__ = True
        host = Host(processes)
        results: list[ShardResult] = []
        repetition.watch.begin()
        repetition.sample()
        try:
            with local_executor(processes) as executor:
                try:
                    for result in run_all(_specs(item, repetition, host, processes), executor):
                        results.append(result)
                        if result.text is None:
                            host.one_less()
                finally:
                    host.close()  # before the executor waits for the others
        finally:
            repetition.watch.end()
            if results:
                _take_in(repetition, results, processes)

    return lead


def _specs(item: pytest.Function, repetition: Repetition, host: Host, processes: int) -> list[Spec]:
    rig, config = repetition.rig, item.config
    arguments = [
        *config.invocation_params.args,
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
            node_id=node_id(item),
            arguments=tuple(map(str, arguments)),
            directory=str(config.invocation_params.dir),
            index=index,
            of=processes,
            meeting=host.meeting,
            mock_url=rig.mock.url if rig.uses_mock else None,
        )
        for index in range(processes)
    ]


def _take_in(repetition: Repetition, results: list[ShardResult], processes: int) -> None:
    """Put together what came; what did not come is lost, and said."""
    parts = []
    for result in sorted(results, key=lambda one: one.index):
        if result.text is None:
            repetition.remarks.append(f"process {result.index + 1} of {processes} is lost: {result.words}")
            continue
        told = json.loads(result.text)
        if told["error"] is not None and repetition.first_error is None:
            repetition.first_error = ElsewhereError(told["error"])
        measurement = codec.loads(told["scenario"], Scenario).measurement
        repetition.stopped = repetition.stopped or measurement.stopped
        requests = {name: _numbers(values) for name, values in told["requests"].items()}
        starts, ends = told["spans"]
        parts.append(Part(measurement=measurement, requests=requests, spans=(starts, ends)))
    if not parts:
        words = "; ".join(dict.fromkeys(result.words for result in results))
        pytest.fail(f"every process that shared the load is lost: {words}", pytrace=False)
    repetition.loaded = Whole(put_together(parts, about=repetition.about, processes=processes))


def handing_over(item: pytest.Function, repetition: Repetition) -> None:
    """In a process that runs a part: hand over what it measured."""
    _, result = item.config.stash[SHARD]
    member = repetition.loaded
    assert isinstance(member, Member)
    assert member.columns is not None
    requests, spans = member.columns
    error = repetition.first_error
    told = {
        "error": None if error is None else "".join(traceback.format_exception(error))[-4000:],
        "scenario": codec.dumps(repetition.result),
        "requests": {name: [_null(value) for value in values] for name, values in requests.items()},
        "spans": spans,
    }
    result.write_text(json.dumps(told, allow_nan=False), "utf-8")


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _numbers(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
