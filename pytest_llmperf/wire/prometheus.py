"""Prometheus' text exposition format, as far as values are wanted and labels are not.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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


def values(text: str, names: Iterable[str]) -> dict[str, list[float]]:
    """The values of those of *names* that are in *text*, one for each set of labels.

    Nothing but their lines is read: to look at a page of a thousand lines every second costs next to nothing.
    """
    found: dict[str, list[float]] = {}
    for name in names:
        at = text.find(name)
        while at >= 0:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            if at == 0 or text[at - 1] == "\n":
                sample = _SAMPLE.fullmatch(text[at:end].removesuffix("\r"))
                if sample is not None and sample[1] == name and (value := _number(sample[2])) is not None:
                    found.setdefault(name, []).append(value)
            at = text.find(name, end)
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < _MOST else None  # not a number, an infinity, or a bug
