"""What was used while a scenario was measured, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.resources import GAUGES, Resources
from pytest_llmperf.reports.summary import Summary

#: Whose each gauge is, and what it is called there.
WORDS = {
    "cpu_percent": ("server", "CPU"),
    "rss_mb": ("server", "memory"),
    "server_running": ("server", "running requests"),
    "server_waiting": ("server", "waiting requests"),
    "kv_cache_percent": ("server", "KV cache"),
    "gpu_percent": ("GPU", "utilisation"),
    "gpu_memory_mb": ("GPU", "memory"),
    "gpu_power_w": ("GPU", "power"),
    "machine_cpu_percent": ("machine", "CPU"),
    "machine_memory_mb": ("machine", "memory"),
    "generator_cpu_percent": ("load generator", "CPU"),
    "generator_rss_mb": ("load generator", "memory"),
}


def sentences(rows: Sequence[Summary], *, every: bool) -> list[str]:
    """A line for each scenario that limits a resource; for all of them if *every*."""
    return [
        f"{plain(row.name)}  used: {used(row.scenario.measurement.resources)}"
        for row in rows
        if (every or _limits(row)) and row.scenario.measurement.resources.usage
    ]


def used(resources: Resources) -> str:
    """``server CPU 43 % (peak 88 %), memory 812 MB (peak 815 MB) · machine CPU 61 % (peak 80 %)``."""
    groups: dict[str, list[str]] = {}
    for name, (whose, what) in WORDS.items():
        if (usage := resources.usage.get(name)) is not None:
            unit = GAUGES[name].unit
            told = f"{what} {show(usage.mean, unit)} (peak {show(usage.peak, unit)})"
            groups.setdefault(whose, []).append(told)
    parts = [f"{whose} {', '.join(told)}" for whose, told in groups.items()]
    return plain(" · ".join([*parts, *resources.notes]))


def _limits(row: Summary) -> bool:
    return any(METRICS[limit.metric].shape is Shape.RESOURCE for limit in row.scenario.slo.limits)
