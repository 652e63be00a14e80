"""``llmperf init``: what it writes is a project that works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmperf.cli import main


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def test_a_project_has_limits_and_a_scenario(repository, capsys):
    assert main(["init"]) == 0
    assert written(repository) == {"slo.yaml", "tests/test_llm.py"}
    assert "written: slo.yaml" in capsys.readouterr().out


def test_github_gets_an_action_and_three_workflows(repository, capsys):
    assert main(["init", "--github"]) == 0
    files = written(repository)
    assert len(files) == 6
    printed = capsys.readouterr().out
    for name in files:
        assert f"written: {name}" in printed


def test_workflows_go_to_the_repositorys_root(repository, monkeypatch):
    (repository / "services" / "bot").mkdir(parents=True)
    monkeypatch.chdir(repository / "services" / "bot")
    main(["init", "--github"])
    assert ".github/workflows/llm-gate.yml" in written(repository)
    assert "services/bot/slo.yaml" in written(repository)
    text = (repository / ".github" / "workflows" / "llm-gate.yml").read_text("utf-8")
    assert "working-directory: services/bot\n" in text


def test_files_that_are_there_are_named_and_nothing_is_written(repository, capsys):
    (repository / "tests").mkdir()
    (repository / "tests" / "test_llm.py").write_text("mine")
    assert main(["init"]) == 2
    said = capsys.readouterr().err
    assert "tests/test_llm.py would be replaced" in said
    assert "--force" in said
    assert written(repository) == {"tests/test_llm.py"}


def test_force_replaces_them(repository, capsys):
    (repository / "slo.yaml").write_text("mine")
    assert main(["init", "--force"]) == 0
    assert (repository / "slo.yaml").read_text("utf-8") != "mine"
    printed = capsys.readouterr().out
    assert "replaced: slo.yaml" in printed
    assert "written: tests/test_llm.py" in printed


def test_github_is_added_to_a_project_that_has_its_scenarios(repository, capsys):
    (repository / "slo.yaml").write_text("mine")
    assert main(["init", "--github"]) == 0
    assert (repository / "slo.yaml").read_text("utf-8") == "mine"
    assert "kept: slo.yaml" in capsys.readouterr().out
    assert not (repository / "tests").exists()


def test_the_next_commands_work_from_a_directory_below_the_root(repository, monkeypatch, capsys):
    (repository / "app").mkdir()
    monkeypatch.chdir(repository / "app")
    main(["init", "--github"])
    (repository / "app" / ".llmperf").mkdir()
    (repository / "app" / ".llmperf" / "one.json").touch()
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("git add"))
    subprocess.run(line.partition("#")[0].split(), check=True)
    added = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True)
    assert set(added.stdout.split()) == written(repository)


def test_nothing_is_added_that_was_not_written(repository, capsys):
    (repository / "slo.yaml").write_text("mine")
    main(["init", "--github"])
    assert "git add .github .llmperf   #" in capsys.readouterr().out


def test_workflows_that_are_there_are_not_replaced_either(repository, capsys):
    main(["init", "--github"])
    gate = repository / ".github" / "workflows" / "llm-gate.yml"
    gate.write_text("mine")
    assert main(["init", "--github"]) == 2
    assert gate.read_text("utf-8") == "mine"
    assert "llm-gate.yml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argument", ["--gpu-runner=a b", "--install=a\nb", "--pytest-args=${{ x }}", "--install= "]
)
def test_what_could_break_a_workflow_is_refused(repository, argument):
    with pytest.raises(SystemExit) as stopped:
        main(["init", "--github", argument])
    assert stopped.value.code == 2
    assert written(repository) == set()


FEW = ["--llm-iterations=12", "--llm-max-iterations=12", "--llm-warmup=1"]


def test_the_generated_project_is_gated(repository):
    """By its limits: what a busy machine proves against a baseline is another matter."""
    main(["init", "--github"])
    slo = repository / "slo.yaml"
    generated = slo.read_text("utf-8")
    assert "p95_ms: 150" in generated

    def pytest_says(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest", "-p", "llmperf", "-m", "llm_slo", *FEW]
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    slo.write_text(generated.replace("p95_ms: 150, ttft_p95_ms: 120", "p95_ms: 9000"), "utf-8")
    assert pytest_says("--save-baseline")[0] == 0
    slo.write_text(generated.replace("lognormal(50ms, 0.1)", "constant(200ms)"), "utf-8")
    status, printed = pytest_says("--llm-strict=no_baseline,not_comparable")
    assert status == 1
    assert "ms > 150 ms" in printed
    assert "ms then and 200 ms now" in printed  # it was compared
