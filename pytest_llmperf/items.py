"""What belongs to one test of pytest's: made by the first who asks, and the same for all who do."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_llmperf.ab.arms import Arm, Switch
from pytest_llmperf.core.cache import CacheMode
from pytest_llmperf.core.cold import Marks
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.iteration_log import IterationLog
from pytest_llmperf.markers import LOAD, is_scenario, marks_of, node_id
from pytest_llmperf.sharing import rig_for, setup_of

_CLOSERS = pytest.StashKey[list[Callable[[], object]]]()
_LOG = pytest.StashKey[IterationLog]()
_SWITCH = pytest.StashKey[Switch]()
_SLO = pytest.StashKey[Slo]()
_CASES = pytest.StashKey[Iterator[Any] | None]()


def closers_of(item: pytest.Item) -> list[Callable[[], object]]:
    """Functions that close what fixtures opened in the test's event loop; to be appended to."""
    return item.stash.setdefault(_CLOSERS, [])


def log_of(item: pytest.Item) -> IterationLog:
    """The item's log."""
    return item.stash.setdefault(_LOG, IterationLog())


def switch_of(item: pytest.Item) -> Switch:
    """Which arm the item's fixtures talk to."""
    return item.stash.setdefault(_SWITCH, Switch())


def slo_of(item: pytest.Item) -> Slo:
    """What the item promises. Raises LlmPerfUsageError."""
    if _SLO not in item.stash:
        item.stash[_SLO] = rig_for(item).slo(node_id(item), marks_of(item), marks_of(item, LOAD))
    return item.stash[_SLO]


def scenario_of(item: pytest.Item) -> str:
    """What its scenario is called in reports and baselines: the pool's name, or its own id.

    A pool is one for every set-up. Raises LlmPerfUsageError.
    """
    pooled, setup = slo_of(item).scenario, setup_of(item)
    if pooled is None:
        return node_id(item)
    return f"{pooled}[{setup}]" if setup else pooled


def cases_of(item: pytest.Item) -> Iterator[Any] | None:
    """The item's cases, one iterator for all who ask. Raises LlmPerfUsageError."""
    if _CASES not in item.stash:
        rig = rig_for(item)
        item.stash[_CASES] = rig.cases(slo_of(item), directory=item.path.parent, scenario=node_id(item))
    return item.stash[_CASES]


def first_case(item: pytest.Item) -> Any:  # Any: whatever the user gave
    """The case of the item's first iteration. Raises LlmPerfUsageError where there is none."""
    cases = cases_of(item) if is_scenario(item) else None
    if cases is None:
        raise LlmPerfUsageError("llm_case needs @llm_slo(cases=[...]) or cases='file.yaml' on the test")
    case = next(cases)
    item.stash[_CASES] = itertools.chain([case], cases)
    return case


def marks_for(item: pytest.Item) -> Callable[[], str]:
    """Gives what the item's next prompt has to begin with: nothing, unless it is to be cold."""
    mode = slo_of(item).cache if is_scenario(item) else CacheMode.AS_IS
    marks, switch = Marks(secrets.token_hex(8)), switch_of(item)
    if mode is CacheMode.COLD:
        return marks
    if mode is CacheMode.BOTH:
        return lambda: marks() if switch.arm is Arm.BASE else ""
    return str
