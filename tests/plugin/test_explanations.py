"""A regression is taken apart beside the gate that it breaks."""

from __future__ import annotations

import json

import pytest

SCENARIO = """
@llm_slo(p95_ms=9000, warmup=0, iterations=40, max_iterations=40)
def test_router(ask, noisy):
    ask(noisy({median}))
"""
SLOWER = "slower from the first token to the last, answers are as long as before"


@pytest.fixture
def slower(project):
    """A session twice as slow as its baseline, every token of it."""
    project.test(SCENARIO.format(median=0.1), "test_a.py")
    assert project.run("--save-baseline").exit == 0
    project.test(SCENARIO.format(median=0.2), "test_a.py")
    return project.run("--llm-report=run.md", "--llm-report=run.html")


def test_a_regression_is_explained_wherever_it_is_shown(slower, project):
    """One session for all of them: pytest's failure text, the section, run.json and both pages."""
    section = slower.text.partition("= llm performance =")[2]
    assert f"test_router  TTFT +100 %, time per token +100 %, output tokens +0 %: {SLOWER}" in slower.text
    assert f"why: TTFT +100 %, time per token +100 %, output tokens +0 %: {SLOWER}" in section
    assert slower.report["scenarios"][0]["explanation"].endswith(SLOWER)
    assert SLOWER in (project.path / "run.md").read_text("utf-8")
    assert (project.path / "run.html").read_text("utf-8").count(SLOWER) == 2


def test_a_stored_run_keeps_what_an_explanation_needs(project):
    project.test(SCENARIO.format(median=0.1), "test_a.py")
    project.run("--save-baseline")
    (path,) = project.path.glob(".llmperf/baselines/*/*/*.json")
    series = json.loads(path.read_text("utf-8"))["series"]
    assert {"output_tokens", "input_tokens", "wait_s", "tpot_s"} <= set(series)


def test_a_baseline_from_before_token_counts_were_kept_still_compares(project):
    """Older files have no such series: the verdict stands, and less of it is explained."""
    import hashlib

    project.test(SCENARIO.format(median=0.1), "test_a.py")
    project.run("--save-baseline")
    (path,) = project.path.glob(".llmperf/baselines/*/*/*.json")
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines[1:-2] if not line.startswith(('  "output_tokens', '  "input_tokens'))]
    body = "\n".join(kept)
    checksum = hashlib.sha256(body.removesuffix(",").encode()).hexdigest()
    path.write_text(f'{{\n{body.removesuffix(",")},\n "sha256": "{checksum}"\n}}\n', encoding="utf-8")
    project.test(SCENARIO.format(median=0.2), "test_a.py")
    session = project.run()
    assert session.report["scenarios"][0]["outcome"] == "regressed"
    assert session.report["scenarios"][0]["explanation"] is None


def test_compare_explains_from_files(slower, project, capsys):
    from pytest_llmperf.cli import main

    project.test(SCENARIO.format(median=0.1), "test_a.py")
    project.run("--llm-gate=off", "--llm-iterations=40")
    base = project.path / "base.json"
    (project.path / "run.json").rename(base)
    project.test(SCENARIO.format(median=0.2), "test_a.py")
    project.run("--llm-gate=off", "--llm-iterations=40")
    assert main(["compare", str(base), str(project.path / "run.json")]) == 1
    assert SLOWER in capsys.readouterr().out
