"""Numbers with their units, as people read them."""

from __future__ import annotations

import math

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def show(value: float | None, unit: str) -> str:
    """*value* with three significant digits and the unit that fits its size: ``212 ms``, ``98.3 %``."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else "-"
    if unit == "s":
        return _time(value)
    if unit == "":
        return f"{_digits(100 * value)} %"
    if unit == "USD":
        return _dollars(value)
    if unit == "1/s":
        return f"{_digits(value)}/s"
    return f"{_digits(value)} {unit}"


def show_range(low: float | None, high: float | None, unit: str) -> str:
    """``188-240 ms``: the unit is written once where both share it."""
    if high is not None and math.isinf(high):
        return f"from {show(low, unit)} up"
    left, right = show(low, unit), show(high, unit)
    left_number, _, left_unit = left.partition(" ")
    return (
        f"{left_number}-{right}"
        if left_unit and left_unit == right.partition(" ")[2]
        else f"{left} to {right}"
    )


def show_ratio(ratio: float) -> str:
    """``x1.50``."""
    return f"x{ratio:.2f}"


def _time(seconds: float) -> str:
    scale, name = next((pair for pair in _TIMES if abs(seconds) >= 0.9995 * pair[0]), _TIMES[-1])
    return f"{_digits(seconds / scale)} {name}"


def _dollars(value: float) -> str:
    """Cents from a dollar on, else two significant digits: a request costs ``$0.000012``."""
    if value >= 1 or value <= 0:
        return f"${value:,.2f}"
    return f"${value:.{1 - math.floor(math.log10(value))}f}"


def _digits(value: float) -> str:
    """Three significant digits, and never fewer than those before the point."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:.0f}"
    if size >= 9.995:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}".removesuffix("00").removesuffix(".") if size else "0"
