"""Which servers to try: LLMPERF_REAL=transformers,vllm,llama."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # --import-mode=importlib does not

from recipes import RECIPES
from servers import running

WANTED = tuple(filter(None, os.environ.get("LLMPERF_REAL", "").replace(" ", "").split(",")))


def pytest_configure():
    if unknown := set(WANTED) - set(RECIPES):
        raise pytest.UsageError(f"LLMPERF_REAL: {', '.join(unknown)} is none of {', '.join(RECIPES)}")


@pytest.fixture(scope="session", params=RECIPES)
def server(request):
    """One server for many tests; leave it as you found it."""
    _skip_unless_wanted(request.param)
    with running(request.param) as started:
        yield started


@pytest.fixture(params=RECIPES)
def doomed_server(request):
    """A server of the test's own, to kill."""
    _skip_unless_wanted(request.param)
    with running(request.param) as started:
        yield started


def _skip_unless_wanted(name):
    if name not in WANTED:
        pytest.skip(f"set LLMPERF_REAL={name} to install and start {name} (docs/how-to/real-servers.md)")
