"""What the prefix cache saves, scenario by scenario, as a Markdown page of its own."""

from __future__ import annotations

from pytest_llmperf.core.run import Run
from pytest_llmperf.reports import cache_section
from pytest_llmperf.reports.markdown import code
from pytest_llmperf.reports.summary import summarise

_NOTHING = "No scenario was measured with cold and with warm prompts: `pytest --llm-cache=both` does."


def render(run: Run) -> str:
    """One table of all scenarios that were measured with ``--llm-cache=both``."""
    lines = [
        "| scenario | metric | cold | warm | saved | warm / cold | n |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    told = [
        f"| {code(row.name)} | {' | '.join(cells)} |"
        for row in summarise(run)
        for cells in cache_section.table(row)
    ]
    return "\n".join(["# Savings of the prefix cache", "", *([*lines, *told] if told else [_NOTHING]), ""])
