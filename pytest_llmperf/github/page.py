"""A run as Markdown for a summary or a comment, with what only GitHub knows."""

from __future__ import annotations

from pytest_llmperf.core.run import Run
from pytest_llmperf.reports import markdown


def page(run: Run, *, run_url: str, artifact_url: str = "", expected_backend: str = "", left: int = 0) -> str:
    """*run* and links to its job and its HTML report.

    *expected_backend*: said to be skipped when another one was measured. *left*: how many annotations
    GitHub would not have shown.
    """
    lines = []
    if skipped := gpu_gate_skipped(run, expected_backend):
        lines.append(f"⏭️ **GPU gate skipped**: {markdown.escaped(skipped)}.")
    if left:
        lines.append(f"{left} more are not annotated: GitHub shows ten annotations of a step.")
    links = [f"[the job]({run_url})"]
    if artifact_url:
        links.insert(0, f"[HTML report and run.json]({artifact_url})")
    return "\n\n".join([markdown.render(run).rstrip("\n"), *lines, " · ".join(links)]) + "\n"


def gpu_gate_skipped(run: Run, expected_backend: str) -> str:
    """Why, in a sentence without its full stop; empty when the expected backend was measured."""
    measured = run.environment.get("backend", "")
    if not expected_backend or not measured or expected_backend in measured.split(", "):
        return ""
    return f"measured on {measured} instead of {expected_backend}"
