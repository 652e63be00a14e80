"""Results as JSON text and back, for the way from one process to another.

The text is made inside the test's call phase: xdist exits 0 when a worker cannot serialise a report.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from cattrs.preconf.json import JsonConverter, make_converter

from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.run import Scenario

T = TypeVar("T", Scenario, Iteration)


def dumps(value: Scenario | Iteration) -> str:
    """*value* as one line of JSON."""
    return _converter().dumps(value, allow_nan=False)


def loads(text: str, kind: type[T]) -> T:
    """The *kind* of thing in *text*."""
    return _converter().loads(text, kind)


@cache
def _converter() -> JsonConverter:
    return make_converter(forbid_extra_keys=True)
