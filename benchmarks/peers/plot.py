"""Figures of several clients as bars, in one SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

WIDTH, ROW, LEFT, BARS = 640, 18, 110, 400


def bars(results: Mapping[str, Mapping[str, float]]) -> str:
    """A panel for each title; lengths are logarithmic, for clients differ by powers of ten."""
    parts, top = [], 0
    for title, values in results.items():
        shown = {name: value for name, value in values.items() if value > 0}
        if not shown:
            continue
        low, high = min(shown.values()) / 2, max(shown.values())
        parts.append(f'<text class="title" x="8" y="{top + 16}">{escape(title)}</text>')
        top += 24
        for name, value in sorted(shown.items(), key=lambda item: item[1]):
            length = BARS * math.log(value / low) / math.log(high / low)
            kind = "ours" if name in {"async_llm", "llm"} else "other"
            parts += [
                f'<text text-anchor="end" x="{LEFT - 6}" y="{top + 12}">{escape(name)}</text>',
                f'<rect class="{kind}" x="{LEFT}" y="{top + 2}" width="{length:.1f}" height="{ROW - 6}"/>',
                f'<text x="{LEFT + length + 6:.1f}" y="{top + 12}">{value:,.3g}</text>',
            ]
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
            *parts,
            "</svg>\n",
        ]
    )
