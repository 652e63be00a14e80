"""A scenario's result as JSON text and back, for the way from an xdist worker to its controller.

The text is made inside the test's call phase: xdist exits 0 when a worker cannot serialise a report.
"""

from __future__ import annotations

from functools import cache

from cattrs.preconf.json import JsonConverter, make_converter

from pytest_llmperf.core.run import Scenario


def dumps(scenario: Scenario) -> str:
    """*scenario* as one line of JSON."""
    return _converter().dumps(scenario, allow_nan=False)


def loads(text: str) -> Scenario:
    """The scenario in *text*."""
    return _converter().loads(text, Scenario)


@cache
def _converter() -> JsonConverter:
    return make_converter(forbid_extra_keys=True)
