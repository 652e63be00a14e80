"""A pytest plugin that writes down the collected scenarios for ``llmperf list``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import METRICS, STEP, Shape
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.slo import Limit, Slo
from pytest_llmperf.items import slo_of
from pytest_llmperf.markers import is_scenario, node_id

#: The variable that names the file to write.
FILE = "LLMPERF_LISTING"


def pytest_collection_finish(session: pytest.Session) -> None:
    """One object for each scenario, in the order of collection."""
    scenarios = [{"id": node_id(item), **_promise(item)} for item in session.items if is_scenario(item)]
    Path(os.environ[FILE]).write_text(json.dumps(scenarios), "utf-8")


def _promise(item: pytest.Item) -> dict[str, object]:
    try:
        slo = slo_of(item)
    except LlmPerfUsageError as error:
        return {"problem": str(error)}
    return {"role": slo.role, "pool": slo.scenario, "promises": promises(slo), "iterations": slo.iterations}


def promises(slo: Slo) -> list[str]:
    """``p95 ≤ 150 ms``, ``json_valid ≥ 98 %``, ``step:submit p95 ≤ 20 ms``: every limit."""
    return [
        *(_promised(limit) for limit in slo.limits),
        *(f"{name} ≥ {show(share, '')}" for name, share in slo.accuracy),
        *(f"{STEP}{name} {_promised(limit)}" for name, limits in slo.steps for limit in limits),
    ]


def _promised(limit: Limit) -> str:
    metric = METRICS[limit.metric]
    timed = limit.statistic if metric.shape is Shape.TIME else ""
    name = timed if limit.metric == "latency" else f"{limit.metric} {timed}".strip()
    return f"{name} {'≥' if metric.higher_is_better else '≤'} {show(limit.bound, metric.unit)}"
