"""The raw rounds of pytest-benchmark's fixture, for a test that carries ``llm_slo`` too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Rounds that are kept, evenly spread over the time they took; a fast function has 200 000 of them.
MOST = 5000

#: Why there may be none.
SWITCHED_OFF = "pytest-benchmark measured nothing: it is switched off, as it always is under xdist"


def fixture_of(arguments: Mapping[str, Any]) -> Any | None:  # Any: pytest-benchmark has no types
    """pytest-benchmark's fixture among a test's *arguments*, if it is there."""
    fixture = arguments.get("benchmark")
    return fixture if type(fixture).__module__.startswith("pytest_benchmark.") else None


def rounds_of(fixture: Any) -> tuple[float, ...]:  # Any: as above
    """Seconds of a call in each round, in time order; empty when nothing was measured."""
    if fixture.stats is None:
        return ()
    seconds = fixture.stats.stats.data
    return tuple(float(value) for value in seconds[:: math.ceil(len(seconds) / MOST) or 1])
