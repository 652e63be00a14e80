"""Who leads this process, where it is the base arm of another session: ``--llm-ab git:REV``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from pytest_llmperf.core.iteration import Iteration


class Lead(Protocol):
    """Another process that says when to run an iteration, and is told what came of it."""

    def orders(self) -> Iterator[bool]:
        """Whether the next iteration is measured, until there is none."""
        ...

    def report(self, iteration: Iteration) -> None:
        """Hand one iteration over."""
        ...


#: Set where this process is the base arm of another session.
LEAD = pytest.StashKey[Lead]()
