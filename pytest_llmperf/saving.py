"""A session stored as a baseline, and what it will be able to prove."""

from __future__ import annotations

from pytest_llmperf.core import gate
from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.parts import COUNTED
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.rig.rig import Rig
from pytest_llmperf.stores.directory import DirectoryStore

#: A baseline that shows no regression smaller than this is hardly one.
_NOISY = 0.5
_USELESS = 5.0  #: from here on the number itself says nothing


def save(run: Run, rig: Rig, *, moment: str) -> tuple[list[str], list[str]]:
    """Store every scenario of *run* that may be: a line for each, and what was refused.

    *moment*: now, ISO 8601 in UTC. A scenario with failed requests, or without a verdict, is not stored.
    """
    store = rig.baselines.store
    saved, refused, count = [], [], 0
    for scenario in run.scenarios:
        name = scenario.measurement.name
        if (why := _unfit(scenario)) is not None:
            saved.append(f"{name}: not saved, {why}")
            continue
        try:
            store.save(_stored(scenario, run, rig, moment), append=not rig.options.save_baseline)
        except (LlmPerfUsageError, OSError) as error:
            refused.append(f"{name}: the baseline was not saved: {error}")
        else:
            count += 1
            saved.append(
                f"{name}: saved {scenario.measurement.iterations} iterations{_sight(scenario, store)}"
            )
    if count:
        root = store.root.relative_to(rig.root) if store.root.is_relative_to(rig.root) else store.root
        saved.append(f"baseline of {count} scenario{'s' if count > 1 else ''} in {root}")
    return saved, refused


def _unfit(scenario: Scenario) -> str | None:
    measurement = scenario.measurement
    if measurement.over_budget:
        return measurement.stopped
    if measurement.failed:
        return f"{measurement.failed} of {measurement.sent} requests failed"
    if measurement.doubts:
        return f"its times say little: {measurement.doubts[0].told}"
    return None if scenario.verdict.checks else "not judged"


def _stored(scenario: Scenario, run: Run, rig: Rig, moment: str) -> StoredRun:
    measurement = scenario.measurement
    return StoredRun(
        scenario=measurement.scenario,
        saved=moment,
        commit=run.environment.get("commit"),
        branch=run.environment.get("branch"),
        anchor=rig.options.save_baseline,
        facts=measurement.facts,
        series={
            name: values
            for name, values in measurement.series.items()
            if name.endswith("_s") or name in COUNTED
        },
        proportions=measurement.proportions,
        server=measurement.server,
    )


def _sight(scenario: Scenario, store: DirectoryStore) -> str:
    """What the runs that are stored now will be able to see."""
    measurement = scenario.measurement
    runs = store.history(measurement.scenario).comparable(measurement)
    series = [run.series["latency_s"] for run in runs if run.series.get("latency_s")]
    if not series:
        return ""
    under_load = measurement.load is not None  # then a profile, and not the gate, says how many there are
    most = len(series[-1]) if under_load else Slo().max_iterations
    looks = gate.looks(most if under_load else Slo().iterations, most)
    smallest = gate.sight(series, looks=looks, max_regression=scenario.slo.max_regression)
    if smallest <= _NOISY:
        up_to = "" if under_load else "up to "
        return f"; {up_to}{most} requests will prove a p95 that is {100 * smallest:.0f} % worse"
    seen = f"only a p95 {100 * smallest:.0f} % worse" if smallest < _USELESS else "hardly any regression"
    return (
        f"; the machine was noisy, and {seen} will be proven: "
        "save again when it is quiet, or compare with --llm-ab"
    )
