"""Results as JSON text and back, for the way from one process to another.

The text is made inside the test's call phase: xdist exits 0 when a worker cannot serialise a report.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

from cattrs.preconf.json import JsonConverter, make_converter

from pytest_llmperf.core.column import Column
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.run import Scenario

T = TypeVar("T", Scenario, Iteration)


def dumps(value: Scenario | Iteration) -> str:
    """*value* as one line of JSON; samples are in base64, exact to the bit and shorter than their digits."""
    return _converter().dumps(value, allow_nan=False)


def loads(text: str, kind: type[T]) -> T:
    """The *kind* of thing in *text*."""
    return _converter().loads(text, kind)


@cache
def _converter() -> JsonConverter:
    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook_func(_is_samples, samples_as_text)
    converter.register_structure_hook_func(_is_samples, lambda text, _: samples_of_text(text))
    return converter


def _is_samples(kind: object) -> bool:
    return kind == Sequence[float]


def samples_as_text(values: Sequence[float]) -> str:
    """*values* in base64."""
    return b64encode(Column(values).to_bytes()).decode("ascii")


def samples_of_text(text: str) -> Column:
    """The inverse of `samples_as_text`."""
    return Column.of_bytes(b64decode(text))
