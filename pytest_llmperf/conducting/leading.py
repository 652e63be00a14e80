"""The session that leads the processes which share a load: what it tells them, and whether there are any."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from pytest_llmperf.conducting import elsewhere
from pytest_llmperf.conducting.handing_over import take_in
from pytest_llmperf.conducting.oversight import Oversight
from pytest_llmperf.conducting.taking_part import TakingPart
from pytest_llmperf.load.plan import Plan
from pytest_llmperf.markers import asks_backend, node_id
from pytest_llmperf.shards.crew import Crew, LocalCrew
from pytest_llmperf.shards.shard import ShardResult, Spec, result_of, run_shard
from pytest_llmperf.shards.worker import SHARD
from pytest_llmperf.workers import alone

#: Fixtures that belong to one process, so that a body which asks for them is not split.
_OWN = ("llm_mock", "benchmark")


def processes_for(parts: Sequence[TakingPart]) -> int | None:
    """How many processes share the load of these tests, here or on a cluster; None: this one carries it out.

    Where another number was asked for, a warning says why.
    """
    rig = parts[0].measuring.rig
    options, cluster = rig.options, rig.companions.cluster
    if SHARD in parts[0].item.config.stash or (options.cluster is None and options.processes in {None, 1}):
        return None
    own = [name for part in parts for name in _OWN if name in part.item.fixturenames]
    if own:
        why = f"its {own[0]} belongs to one process"
    elif any(part.measuring.base is not None for part in parts):
        why = "two arms are compared in one process"
    elif cluster is not None:
        return options.processes or len(cluster.workers)
    else:
        return options.processes
    flag = "--llm-processes" if options.cluster is None else "--llm-cluster"
    for part in parts:
        part.measuring.remarks.append(f"{flag}: one process carried out the load, since {why}")
    return None


def in_processes(parts: Sequence[TakingPart], processes: int, *, plan: Plan) -> None:
    """Have *processes* run the bodies of these tests, each its share of *plan*; fewer where that is small."""
    __tracebackhide__ = True
    processes = plan.divisible(processes)
    scenarios = [part.measuring for part in parts]
    cluster = scenarios[0].rig.companions.cluster
    crew: Crew = LocalCrew(processes) if cluster is None else cluster.crew(processes)
    futures: dict[Future[ShardResult], Spec] = {}
    interrupted = True
    try:
        with contextlib.closing(crew):
            for spec in _specs(parts, crew, processes):
                futures[crew.executor.submit(run_shard, spec)] = spec
            Oversight(crew, futures, scenarios, plan=plan).attend()
        interrupted = False
    finally:
        for measuring in scenarios:
            measuring.stop_sampling()
            measuring.watch.end()
            measuring.remarks += crew.remarks
        # Also what came after Ctrl-C, which ends the parts and loses nothing of them.
        results = [result_of(future, spec) for future, spec in futures.items()]
        told = take_in(parts, results, processes, interrupted=interrupted)
    if (ended := next(filter(None, (one.get("ended") for one in told)), None)) is not None:
        raise elsewhere.of_words(*ended)
    if scenarios[0].loaded is None:
        words = "; ".join(dict.fromkeys(result.words for result in results))
        pytest.fail(f"every process that shared the load is lost: {words}", pytrace=False)


def _specs(parts: Sequence[TakingPart], crew: Crew, processes: int) -> list[Spec]:
    rig, config = parts[0].measuring.rig, parts[0].item.config
    on_cluster = rig.options.cluster is not None  # where this environment is not inherited
    arguments = [
        *(shlex.split(os.environ.get("PYTEST_ADDOPTS", "")) if on_cluster else ()),
        *config.invocation_params.args,
        *(rig.options.from_environment if on_cluster else ()),
        "-p",
        "pytest_llmperf.shards.worker",
        f"--rootdir={config.rootpath}",
        "--llm-gate=off",
        *alone(config),
    ]
    asked = any(asks_backend(part.item) for part in parts)
    return [
        Spec(
            node_ids=tuple(node_id(part.item) for part in parts),
            arguments=tuple(map(str, arguments)),
            directory=str(config.invocation_params.dir),
            index=index,
            of=processes,
            meeting=crew.meeting,
            own_cache=config.pluginmanager.hasplugin("cacheprovider"),
            mock_url=rig.companions.mock.url if asked and rig.servers.are_mocked else None,
            spent=() if rig.budget is None else (rig.budget.spent_usd, rig.budget.dearest_usd),
        )
        for index in range(processes)
    ]
