"""What requests cost, in each report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.reports.summary import Summary


def session(rows: Sequence[Summary]) -> list[str]:
    """``cost: $0.0012 for 30 priced requests; $0.0015 spent in all, warm-up included``."""
    measured = [row.scenario.measurement for row in rows]
    costs = [cost for one in measured for cost in one.series.get("cost_usd", ())]
    spent = [one.spent_usd for one in measured if one.spent_usd is not None]
    if not costs and not spent:
        return []
    line = f"cost: {show(sum(costs), 'USD')} for {len(costs)} priced requests"
    return [line + (f"; {show(sum(spent), 'USD')} spent in all, warm-up included" if spent else "")]


def sentences(rows: Sequence[Summary]) -> list[str]:
    """``test_router  cost: $0.0012 measured requests, $0.00004 a request, ...``."""
    return [f"{plain(row.name)}  cost: {', '.join(told)}" for row in rows if (told := _told(row))]


def table(row: Summary) -> Iterable[Sequence[str]]:
    """What a scenario cost, line by line."""
    numbers = values(row.scenario.measurement)
    for name, value in numbers.items():
        if value is not None:
            yield _NAMES[name], show(value, "USD")


def values(measured: Measurement) -> dict[str, float | None]:
    """USD of one scenario, as run.json has them."""
    costs, output = measured.series.get("cost_usd", ()), measured.tokens.output
    total = sum(costs)
    return {
        "measured_usd": total if costs else None,
        "per_request_usd": total / len(costs) if costs else None,
        "per_1000_output_tokens_usd": 1000 * total / output if costs and output else None,
        "spent_usd": measured.spent_usd,
    }


_NAMES = {
    "measured_usd": "measured requests",
    "per_request_usd": "a request",
    "per_1000_output_tokens_usd": "per 1 000 output tokens",
    "spent_usd": "spent in all, warm-up included",
}


def _told(row: Summary) -> list[str]:
    numbers = values(row.scenario.measurement)
    numbers.pop("spent_usd")
    return [f"{show(value, 'USD')} {_NAMES[name]}" for name, value in numbers.items() if value is not None]
