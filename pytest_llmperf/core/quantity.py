"""Numbers with their units, as people read them."""

from __future__ import annotations

import math

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_MOST_DIGITS = 9


def show(value: float | None, unit: str, *, digits: int = 3) -> str:
    """*value* with three significant digits and the unit that fits its size: ``212 ms``, ``98.3 %``."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else "-"
    if unit == "s":
        return _time(value, digits)
    if unit == "":
        return f"{_percent(value, digits)} %"
    if unit == "USD":
        return _dollars(value, digits)
    return _digits(value, digits) + {"n": "", "1/s": "/s"}.get(unit, f" {unit}")


def show_apart(left: float | None, right: float | None, unit: str) -> tuple[str, str]:
    """Both values with as many digits as it takes to tell them apart: ``150.4 ms``, ``150 ms``."""
    for digits in range(3, _MOST_DIGITS):
        shown = show(left, unit, digits=digits), show(right, unit, digits=digits)
        if shown[0] != shown[1] or left == right:
            break
    return shown


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


def show_ratio(ratio: float, *, decimals: int = 2) -> str:
    """``x1.50``."""
    return f"x{ratio:.{decimals}f}" if math.isfinite(ratio) else "x∞"


def show_ratios_apart(left: float, right: float) -> tuple[str, str]:
    """Both ratios with as many decimals as it takes to tell them apart: ``x1.104``, ``x1.100``."""
    for decimals in range(2, _MOST_DIGITS):
        shown = show_ratio(left, decimals=decimals), show_ratio(right, decimals=decimals)
        if shown[0] != shown[1] or left == right:
            break
    return shown


def _time(seconds: float, digits: int) -> str:
    if seconds == 0:
        return "0 s"
    scale, name = next((pair for pair in _TIMES if abs(seconds) >= 0.9995 * pair[0]), _TIMES[-1])
    return f"{_digits(seconds / scale, digits)} {name}"


def _percent(share: float, digits: int) -> str:
    """One failure in 10 000 is 99.99 %, never 100 %."""
    text = _digits(100 * share, digits)
    while share < 1 and text == "100" and digits < _MOST_DIGITS:
        digits += 1
        text = _digits(100 * share, digits)
    return text


def _dollars(value: float, digits: int) -> str:
    """Cents from a dollar on, else two significant digits: a request costs ``$0.000012``."""
    if value >= 1 or value <= 0:
        return f"${value:,.{digits - 1}f}"
    return f"${value:.{digits - 2 - math.floor(math.log10(value))}f}"


def _digits(value: float, digits: int) -> str:
    """That many significant digits, one fewer below 1, and never fewer than those before the point."""
    size = abs(float(f"{value:.{digits - 1}e}"))  # rounded first: 99.96 has the size of 100
    if size == 0:
        return "0"
    power = math.floor(math.log10(size))
    decimals = digits - 1 - power if power >= 0 else digits - 2 - power
    if decimals <= 0:
        return f"{value:.0f}"
    whole, _, fraction = f"{value:.{decimals}f}".partition(".")
    if size < 0.1:
        fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction.strip("0") else whole
