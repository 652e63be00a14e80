"""A scorecard and a verdict from a report: `python scorecard.py sanity.json`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from quality import TASKS

SLOW_S, SLOW_TOKENS_PER_S = 2.0, 20.0
QUESTIONS = ("follows", "coherent", "no hallucination")


def scores(run):
    """The lines of the card from a run.json; None for what was not measured."""
    scenarios = {scenario["name"]: scenario for scenario in run["scenarios"]}

    def median_s(name, series="latency_s"):
        values = sorted(scenarios[name]["series"].get(series, ()))
        return values[len(values) // 2] if values else None

    pitch, quality = scenarios["test_pitch"], scenarios["test_quality"]
    usage = pitch["resources"]["usage"] if pitch["resources"] else {}
    return {
        "model": pitch["model"],
        "cold_s": median_s("test_cold_start"),
        "warm_s": median_s("test_warm_start"),
        "pitch_s": median_s("test_pitch"),
        "tokens_per_s": pitch["throughput"]["tokens_per_s"],
        "rss_mb": usage.get("rss_mb", {}).get("peak"),
        "cpu_percent": usage.get("cpu_percent", {}).get("mean"),
        "tasks": len(TASKS),
        "quality": {question: passed(quality, question) for question in QUESTIONS},
    }


def passed(scenario, question):
    """In how many tasks the model did well more often than not."""
    checks = [check for check in scenario["named_checks"] if check["name"] == question]
    return sum(2 * check["successes"] > check["trials"] for check in checks)


def verdict(card):
    """keep small, try 3-8B, or need bigger."""
    slow = card["warm_s"] > SLOW_S or card["pitch_s"] > SLOW_S or card["tokens_per_s"] < SLOW_TOKENS_PER_S
    wrong = sum(2 * card["quality"][question] < card["tasks"] for question in QUESTIONS)
    if not slow and wrong < 2:
        return "keep small"
    return "need bigger" if parameters(card["model"]) >= 3 else "try 3-8B"


def parameters(model):
    """Billions of parameters by the model's name, such as llama3.2:1b; 0 where it does not say."""
    sizes = re.findall(r"(\d+(?:\.\d+)?)b\b", model.lower())
    return float(sizes[-1]) if sizes else 0.0


def render(card):
    def shown(value, pattern):
        return "not measured" if value is None else format(value, pattern)

    counts = "  ".join(f"{question} {count}/{card['tasks']}" for question, count in card["quality"].items())
    return f"""\
Model: {card["model"]}
Cold start (s): {shown(card["cold_s"], ".2f")}  Warm start (s): {shown(card["warm_s"], ".2f")}
Real prompt latency (s): {shown(card["pitch_s"], ".2f")}  tok/s: {shown(card["tokens_per_s"], ".0f")}
Peak RSS (MB): {shown(card["rss_mb"], ".0f")}  CPU avg %: {shown(card["cpu_percent"], ".0f")}
Quality ({card["tasks"]} tests): {counts}
Verdict: {verdict(card)}"""


if __name__ == "__main__":
    print(render(scores(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))  # noqa: T201 - its purpose
