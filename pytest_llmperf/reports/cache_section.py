"""Cold and warm prompts, in each report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_llmperf.core.cache_saving import Saving
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.reports.summary import Summary


def sentences(rows: Sequence[Summary]) -> list[str]:
    """``test_chat  the prefix cache saves 62 % of TTFT at p50: 120 ms cold, 45 ms warm (...)``."""
    return [
        f"{plain(row.name)}  the prefix cache {words(saving)}"
        for row in rows
        for saving in row.scenario.savings
        if saving.statistic == "p50"
    ]


def words(saving: Saving) -> str:
    """``saves 62 % of TTFT at p50: 120 ms cold, 45 ms warm (...)``, or that nothing is proven."""
    times = f"{show(saving.cold_s, 's')} cold, {show(saving.warm_s, 's')} warm"
    name = "TTFT" if saving.metric == "ttft" else saving.metric
    ends = f"ratio {saving.low:.2f}-{'∞' if saving.high is None else f'{saving.high:.2f}'}"
    if not saving.is_proven:
        effect = f"has no proven effect on {name}"
    else:
        verb, share = ("saves", saving.saved) if saving.saved >= 0 else ("costs", -saving.saved)
        effect = f"{verb} {show(share, '')} of {name}"
    return f"{effect} at {saving.statistic}: {times} ({ends}, n={saving.n})"


def table(row: Summary) -> Iterable[Sequence[str]]:
    """Name, cold, warm, what is saved, and the interval of the ratio."""
    for saving in row.scenario.savings:
        high = "∞" if saving.high is None else f"{saving.high:.2f}"
        yield (
            f"{saving.metric} {saving.statistic}",
            show(saving.cold_s, "s"),
            show(saving.warm_s, "s"),
            f"{show(saving.saved, '')}{'' if saving.is_proven else ', not proven'}",
            f"{saving.low:.2f}-{high}",
            str(saving.n),
        )


#: Above `table`.
HEADING = ("", "cold", "warm", "saved", "warm / cold", "n")
