"""Rules for the mock server from words per sector: `python make_replies.py > replies.yaml`.

The same few lines serve any keyword router: one rule for each entry, one at the end for what is left.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from router import CONFIG, GENERAL, stems


def rules(sectors: dict[str, Any]) -> list[dict[str, Any]]:
    """One rule per sector in the order of the file, and one for what none of them knows."""
    made: list[dict[str, Any]] = [
        {
            "contains": [stem for keyword in sector["keywords"] for stem in stems(keyword)],
            "json": {"sector": name},
        }
        for name, sector in sectors.items()
    ]
    return [*made, {"json": {"sector": GENERAL}}]


def render(sectors: dict[str, Any]) -> str:
    """The rules as a file that ``mock: {replies: FILE}`` takes, a line each."""
    lines = [
        yaml.safe_dump(rule, allow_unicode=True, default_flow_style=True, sort_keys=False, width=10_000)
        for rule in rules(sectors)
    ]
    return "# Made from sectors.yaml by make_replies.py.\n" + "".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(render(CONFIG["sectors"]))
