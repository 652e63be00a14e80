"""Prometheus' text exposition format, as far as sums over labels are wanted.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re

#: A name, labels that are not looked into (a quoted value may hold anything), a value, perhaps a time.
_SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)"
    r'(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?'
    r"[ \t]+([^ \t]+)(?:[ \t]+-?[0-9.]+)?[ \t]*"
)

_MOST = 1e18


def sums(text: str) -> dict[str, float]:
    """The value of every metric in *text*, summed over its labels. What is not a sample is left out."""
    totals: dict[str, float] = {}
    for line in text.split("\n"):
        sample = _SAMPLE.fullmatch(line.removesuffix("\r"))
        if sample is None:
            continue
        name, value = sample[1], _number(sample[2])
        if value is not None:
            totals[name] = totals.get(name, 0.0) + value
    return totals


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < _MOST else None  # not a number, an infinity, or a bug
