"""What holds for every test."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# A busy machine is no failure, and a failure is the same for everybody.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _no_worker_s_children(monkeypatch):
    """A pytest that a test starts is not a worker of this run: pytest-benchmark would take it for one."""
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)
