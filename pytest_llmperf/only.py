"""A pytest plugin that leaves some scenarios of a session: ``-p pytest_llmperf.only``.

Used to measure again what a run left undecided, with the same arguments and so the same selection.
"""

from __future__ import annotations

import os

import pytest

from pytest_llmperf.github.measure import ONLY
from pytest_llmperf.items import scenario_of
from pytest_llmperf.markers import is_scenario


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect everything else."""
    wanted = set(os.environ[ONLY].splitlines())
    kept = [item for item in items if is_scenario(item) and scenario_of(item) in wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
