"""Rules for the mock server from words per sector: `python make_replies.py > replies.yaml`.

The same few lines serve any keyword router: one rule for each entry, one at the end for what is left.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml


def rules(config: dict[str, Any]) -> list[dict[str, Any]]:
    """One rule per sector in the order of the file, and one for what none of them knows."""
    general = config["router"]["default_adapter"]
    made: list[dict[str, Any]] = [
        {
            "contains": sector["keywords"],
            "json": {"sector": name, "adapters": [f"adapters/{name}_adapter", general]},
        }
        for name, sector in config["sectors"].items()
    ]
    return [*made, {"json": {"sector": "general", "adapters": [general]}}]


def render(config: dict[str, Any]) -> str:
    """The rules as a file that ``mock: {replies: FILE}`` takes, a line each."""
    lines = [
        yaml.safe_dump(rule, allow_unicode=True, default_flow_style=True, sort_keys=False, width=10_000)
        for rule in rules(config)
    ]
    return "# Made from sectors.yaml by make_replies.py.\n" + "".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(render(yaml.safe_load(Path(__file__).with_name("sectors.yaml").read_text("utf-8"))))
