"""What holds for every test."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# A busy machine is no failure, and a failure is the same for everybody.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


#: By these pytest, mypy and Rich print another text: CI sets some, and people do for their terminals.
_SWAYS = {"CI", "BUILD_NUMBER", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "MYPY_FORCE_COLOR"}
#: By these clients of the tests would take a way that leads nowhere: all servers are on this machine.
_LEADS_AWAY = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


@pytest.fixture(scope="session", autouse=True)
def _alike_everywhere():
    """What tests start prints and reaches the same everywhere, and is no worker of this run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.copy():
            if name.upper() in _SWAYS | _LEADS_AWAY or name.startswith("PYTEST_XDIST_"):
                patch.delenv(name)
        yield
