"""The page about GitHub: its snippets fit the workflows that it tells to put them into."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_llmperf.cli import main
from pytest_llmperf.github.annotations import MOST

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "github.md").read_text("utf-8")
SNIPPETS = [
    yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
]
ACTION = yaml.safe_load((ROOT / ".github" / "actions" / "llm-gate" / "action.yml").read_text("utf-8"))


def test_every_snippet_is_a_step_of_a_workflow(tmp_path):
    pytest.importorskip("check_jsonschema")
    steps = [step for snippet in SNIPPETS for step in snippet]
    assert len(steps) == 3
    workflow = {"on": "push", "jobs": {"one": {"runs-on": "ubuntu-latest", "steps": steps}}}
    path = tmp_path / "workflow.yml"
    path.write_text(yaml.safe_dump(workflow), "utf-8")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_inputs_in_the_table_are_the_actions_with_their_defaults():
    rows = re.findall(r"^\| (`[a-z`, -]+) \| (?:`(.+?)`)? ?\|", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for names, default in rows:
        first, *_ = re.findall(r"`([a-z-]+)`", names)
        assert ACTION["inputs"][first]["default"] == default, first


def test_the_artifact_is_one_that_the_baseline_workflow_makes():
    (name,) = {
        step["with"]["baseline-artifact"] for snippet in SNIPPETS for step in snippet if "./" in step["uses"]
    }
    text = (ROOT / ".github" / "workflows" / "llm-baseline.yml").read_text("utf-8")
    assert "name: llm-baseline-${{ matrix.backend }}" in text
    assert "backend: mock" in text
    assert name == "llm-baseline-mock"


def test_the_commands_are_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ llmperf (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert main(command.split()) == 0
    assert "runs-on: gpu\n" in (tmp_path / ".github" / "workflows" / "llm-gate.yml").read_text("utf-8")


def test_the_number_of_annotations_is_ours():
    assert MOST == 10
    assert "Ten annotations of a step are shown" in PAGE
