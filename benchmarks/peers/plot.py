"""Figures of several clients as bars, in one SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

WIDTH, ROW, LEFT, BARS = 640, 18, 120, 420


def number(value: float) -> str:
    """With three figures that count."""
    return f"{float(f'{value:.3g}'):,.10g}"


def bars(panels: Mapping[str, Mapping[str, tuple[float, float | None]]]) -> str:
    """A panel for each title, with clients in the order given.

    Lengths are logarithmic, for clients differ by powers of ten. A client's second value, if any, is
    the end of a thin line that goes on from its bar.
    """
    parts, top = [], 0
    for title, values in panels.items():
        shown = {name: pair for name, pair in values.items() if pair[0] > 0}
        if not shown:
            continue
        low = min(value for value, _ in shown.values()) / 2
        span = math.log(max(max(value, more or 0.0) for value, more in shown.values()) / low)
        parts.append(f'<text class="title" x="8" y="{top + 16}">{escape(title)}</text>')
        top += 24
        for name, (value, more) in shown.items():
            length = BARS * math.log(value / low) / span
            kind = "ours" if name in {"async_llm", "llm"} else "other"
            parts += [
                f'<text text-anchor="end" x="{LEFT - 6}" y="{top + 12}">{escape(name)}</text>',
                f'<rect class="{kind}" x="{LEFT}" y="{top + 2}" width="{length:.1f}" height="{ROW - 6}"/>',
            ]
            said, end = number(value), length
            if more is not None and more > value:
                end = BARS * math.log(more / low) / span
                parts.append(
                    f'<rect class="{kind}" x="{LEFT + length:.1f}" y="{top + 7}" width="{end - length:.1f}"'
                    ' height="2"/>'
                )
                said += f" / {number(more)}"
            parts.append(f'<text x="{LEFT + end + 6:.1f}" y="{top + 12}">{said}</text>')
            top += ROW
        top += 10
    style = (
        "text{font:12px sans-serif;fill:#444}.title{font-weight:bold}.ours{fill:#2563eb}.other{fill:#9ca3af}"
    )
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img"'
                ' aria-label="Load generators side by side, on logarithmic scales">'
            ),
            f"<style>{style}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *parts,
            "</svg>\n",
        ]
    )
