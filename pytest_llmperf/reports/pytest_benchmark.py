"""pytest-benchmark's JSON, for ``pytest-benchmark compare`` and whatever else reads it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.reports.summary import unique_names

#: The series that are benchmarks; each is a group of its own.
_SERIES = {"latency": "latency_s", "ttft": "ttft_s", "task": "task_s"}

#: Every reader looks for the version that wrote the file.
_VERSION = "5.1.0"


def render(run: Run) -> str:
    """*run* as pytest-benchmark writes it: one benchmark per scenario and time metric, in seconds."""
    names = unique_names(run.scenarios)
    benchmarks = [
        _benchmark(scenario, name, group, values)
        for scenario, name in zip(run.scenarios, names, strict=True)
        for group, series in _SERIES.items()
        if (values := scenario.measurement.series.get(series))
    ]
    environment = run.environment
    document = {
        "machine_info": {
            "node": "",
            "machine": environment.get("system", ""),
            "python_version": environment.get("python", ""),
            "cpu": {"brand_raw": environment.get("cpu", "")},
        },
        "commit_info": {"id": environment.get("commit", "unknown"), "branch": environment.get("branch", "")},
        "benchmarks": benchmarks,
        "datetime": run.started,
        "version": _VERSION,
    }
    return json.dumps(document, indent=1) + "\n"


def _benchmark(scenario: Scenario, name: str, group: str, values: Sequence[float]) -> dict[str, object]:
    measured = scenario.measurement
    return {
        "group": group,
        "name": name if group == "latency" else f"{name} {group}",
        "fullname": measured.scenario if group == "latency" else f"{measured.scenario} {group}",
        "params": None,
        "param": None,
        "extra_info": {
            "backend": measured.backend,
            "model": measured.model,
            "outcome": scenario.verdict.outcome.value,
            "reason": scenario.verdict.reason,
        },
        "options": {"warmup": measured.warmup > 0},
        "stats": _stats(values),
    }


def _stats(values: Sequence[float]) -> dict[str, object]:
    ordered = sorted(values)
    q1, median, q3 = (
        statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    )
    mean, deviation = statistics.fmean(ordered), statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    by_deviation = sum(abs(value - mean) > deviation for value in ordered)
    by_quartile = sum(not low <= value <= high for value in ordered)
    total = sum(ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": len(ordered),
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": by_quartile,
        "stddev_outliers": by_deviation,
        "outliers": f"{by_deviation};{by_quartile}",
        "ld15iqr": next(value for value in ordered if value >= low),
        "hd15iqr": next(value for value in reversed(ordered) if value <= high),
        "ops": len(ordered) / total if total else 0,
        "total": total,
        "data": list(values),
        "iterations": 1,
    }
