"""What a scenario used, on the page: a table with a small time line in each row, drawn without JavaScript."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.resources import GAUGES, Resources
from pytest_llmperf.reports.resources import WORDS

_WIDTH, _HEIGHT = 240, 32


def resources_table(used: Resources) -> Iterable[str]:
    """Mean, peak and time line of every gauge, and why others are missing."""
    if not used.usage and not used.missing:
        return
    yield '<div class="wide" tabindex="0" role="region" aria-label="Resources"><table>'
    yield f"<caption>Resources, sampled for {escape(show(used.seconds, 's'))}</caption>"
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("mean", "peak", "samples", "from 0 to peak"))
    yield f"<thead><tr><td></td>{heads}</tr></thead><tbody>"
    for name, (whose, what) in WORDS.items():
        if (usage := used.usage.get(name)) is not None:
            unit = GAUGES[name].unit
            cells = (show(usage.mean, unit), show(usage.peak, unit), str(usage.n))
            row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            drawn = _line(used.at_s, used.line.get(name, ()), usage.peak)
            yield f'<tr><th scope="row">{whose} {what}</th>{row}<td>{drawn}</td></tr>'
        elif name in used.missing:
            why = escape(plain(used.missing[name]))
            yield f'<tr><th scope="row">{whose} {what}</th><td colspan="4">not sampled: {why}</td></tr>'
    yield "</tbody></table></div>"
    yield from (f'<p class="quiet">{escape(plain(note))}</p>' for note in used.notes)


def _line(at_s: Sequence[float], points: Sequence[float | None], peak: float) -> str:
    """The values over time as one SVG line, the time from left to right."""
    known = [(at, point) for at, point in zip(at_s, points, strict=False) if point is not None]
    if len(known) < 2 or at_s[-1] <= 0 or peak <= 0:
        return ""
    drawn = " ".join(
        f"{_WIDTH * at / at_s[-1]:.1f},{1 + (_HEIGHT - 2) * (1 - point / peak):.1f}" for at, point in known
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f'<polyline points="{drawn}" fill="none" stroke="currentColor"/></svg>'
    )
