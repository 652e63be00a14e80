"""The example of a gated repository: what its page promises is there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pytest_llmperf.core.baseline import MUST_MATCH
from pytest_llmperf.slo_yaml.file import load
from pytest_llmperf.stores.directory import DirectoryStore

EXAMPLE = Path(__file__).parents[2] / "examples" / "github"
README = (EXAMPLE / "README.md").read_text("utf-8")


def test_every_file_of_the_layout_exists():
    layout = re.search(r"^```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[1]
    names = [line.split()[0] for line in layout.splitlines()]
    assert len(names) == 7
    assert [name for name in names if not (EXAMPLE / name).exists()] == []


def test_the_committed_baseline_is_of_its_scenario_on_the_mock():
    (runs,) = DirectoryStore(EXAMPLE / ".llmperf" / "baselines").groups()
    assert runs[0].scenario == "tests/test_llm.py::test_greeting"
    assert runs[0].facts["backend kind"] == "mock"
    assert "hardware" in MUST_MATCH
    assert "hardware" not in runs[0].facts  # so that every machine may compare with it


def test_the_readmes_accept_entry_is_one(tmp_path):
    entry = re.search(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[1]
    path = tmp_path / "slo.yaml"
    path.write_text(f"version: 1\n{entry}", "utf-8")
    until = yaml.safe_load(entry)["accept"]["*::test_greeting"]["until"]
    accepted = load(path, today=until).accept["*::test_greeting"]
    assert accepted.max_regression == 0.7


def test_the_slower_mock_of_the_readme_is_a_change_of_its_slo_yaml():
    text = (EXAMPLE / "slo.yaml").read_text("utf-8")
    slower, faster = re.search(r"`(lognormal\S+ \S+)` instead of `(lognormal\S+ \S+)`", README).groups()
    assert text.count(faster) == 1
    assert slower not in text
