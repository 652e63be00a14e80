"""``llmperf list``: what there is, and what it promises."""

from __future__ import annotations

import pytest

from pytest_llmperf.cli import main

TESTS = """
import pytest
from pytest_llmperf import llm_slo

def test_ordinary():
    raise AssertionError("nothing is run")

@llm_slo(p95_ms=150, json_valid=0.98, accuracy={"route": 0.9})
def test_router(llm):
    raise AssertionError("nothing is run")

@pytest.mark.parametrize("n", [1, 2])
@llm_slo(scenario="front", tokens_per_s=50)
def test_pool(llm, n): ...

@llm_slo(steps={"submit": {"p95_ms": 20, "success_rate": 0.99}})
def test_jobs(llm_timer): ...

@llm_slo()
def test_bare(llm): ...
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p llmperf")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def test_every_scenario_is_listed_with_its_promises(project, capsys):
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "test_it.py::test_router  p95 ≤ 150 ms, json_valid ≥ 98 %, route ≥ 90 %",
        "test_it.py::test_pool[1] (pool front)  tokens_per_s ≥ 50/s",
        "test_it.py::test_pool[2] (pool front)  tokens_per_s ≥ 50/s",
        "test_it.py::test_jobs  step:submit p95 ≤ 20 ms, step:submit success_rate ≥ 99 %",
        "test_it.py::test_bare  no limit: compared with the baseline only",
    ]
    assert not list(project.glob(".llmperf"))


def test_pytests_arguments_select(project, capsys):
    assert main(["list", "-k", "bare"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_project_without_a_scenario_says_what_one_is(project, capsys):
    assert main(["list", "-k", "ordinary"]) == 0
    assert "@llm_slo" in capsys.readouterr().out


def test_a_test_that_cannot_be_collected_is_told_in_pytests_words(project, capsys):
    (project / "test_broken.py").write_text(
        "from pytest_llmperf import llm_slo\n@llm_slo(p95_mss=1)\ndef test_x(): ..."
    )
    assert main(["list"]) == 2
    assert "p95_mss" in capsys.readouterr().err
