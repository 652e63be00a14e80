"""The columns that every table of scenarios has, in the order they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_llmperf.reports.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of numbers. The name comes before them, the verdict after them."""

    heading: str
    narrow: str  #: the heading where space is short
    unit: str  #: as in core.metric; "x" for a ratio to the baseline, "n" for a count
    weight: int  #: where space is short, the lightest column goes first
    of: Callable[[Summary], float | None]


COLUMNS = (
    Column(heading="n", narrow="n", unit="n", weight=7, of=lambda row: row.n),
    Column(heading="p50", narrow="p50", unit="s", weight=3, of=lambda row: row.p50_s),
    Column(heading="p95", narrow="p95", unit="s", weight=9, of=lambda row: row.p95_s),
    Column(heading="p99", narrow="p99", unit="s", weight=1, of=lambda row: row.p99_s),
    Column(heading="TTFT p95", narrow="TTFT", unit="s", weight=4, of=lambda row: row.ttft_p95_s),
    Column(heading="tokens/s", narrow="tok/s", unit="1/s", weight=2, of=lambda row: row.tokens_per_s),
    Column(heading="JSON", narrow="JSON", unit="", weight=5, of=lambda row: row.json_valid),
    Column(heading="success", narrow="ok", unit="", weight=6, of=lambda row: row.success_rate),
    Column(heading="cost", narrow="cost", unit="USD", weight=0, of=lambda row: row.cost_usd),
    Column(heading="baseline", narrow="base", unit="x", weight=8, of=lambda row: row.ratio),
)


def used(rows: Sequence[Summary]) -> list[Column]:
    """The columns in which at least one row has a number."""
    return [column for column in COLUMNS if any(column.of(row) is not None for row in rows)]
