"""The action and the workflows: as generated, as GitHub's schemas want them, and their shell parts run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_llmperf.cli import main

ROOT = Path(__file__).parents[2]
FILES = (
    ".github/actions/llm-gate/action.yml",
    ".github/workflows/llm-gate.yml",
    ".github/workflows/llm-gate-comment.yml",
    ".github/workflows/llm-baseline.yml",
)
GPU = ("--gpu-runner=gpu-1", "--gpu-backend=vllm-4060")


@pytest.fixture
def generated(tmp_path, monkeypatch, in_git):
    """Runs ``llmperf init --github`` in a new repository: its root."""

    def init(*arguments: str, directory: str = ".") -> Path:
        in_git(tmp_path, "init", "--quiet")
        (tmp_path / directory).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(tmp_path / directory)
        assert main(["init", "--github", *arguments]) == 0
        return tmp_path

    return init


def test_our_own_workflows_are_the_generated_ones(generated):
    root = generated("--install=python -m pip install ../..", directory="examples/github")
    for name in FILES:
        assert (ROOT / name).read_text("utf-8") == (root / name).read_text("utf-8"), name


def test_the_examples_files_are_the_generated_ones(generated):
    root = generated()
    for name in (*FILES, "slo.yaml", "tests/test_llm.py"):
        assert (ROOT / "examples" / "github" / name).read_text("utf-8") == (root / name).read_text("utf-8"), (
            name
        )


@pytest.mark.parametrize("arguments", [(), GPU], ids=["mock", "gpu"])
def test_the_workflows_fit_githubs_schemas(generated, arguments):
    pytest.importorskip("check_jsonschema")
    root = generated(*arguments)
    for schema, names in (("github-actions", FILES[:1]), ("github-workflows", FILES[1:])):
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *names]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [(), GPU], ids=["mock", "gpu"])
def test_zizmor_finds_nothing(generated, arguments):
    zizmor = shutil.which("zizmor", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if zizmor is None:
        pytest.skip("zizmor is not installed")
    root = generated(*arguments)
    command = [zizmor, "--offline", "--no-progress", "--quiet", str(root / ".github")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_foreign_action_is_pinned_by_its_commit_with_its_version_beside_it():
    for path in ROOT.glob(".github/**/*.yml"):
        for line in path.read_text("utf-8").splitlines():
            if match := re.search(r"uses: (?!\./)(\S+)(.*)", line):
                assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", match[1]), line
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", match[2]), line


def loaded(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8"))


def test_without_a_gpu_runner_nothing_of_it_is_left(generated):
    root = generated()
    for name in FILES[1:]:
        assert "gpu" not in (root / name).read_text("utf-8").lower(), name


def test_exactly_one_of_both_gates_runs(generated):
    jobs = loaded(generated(*GPU) / FILES[1])["jobs"]
    assert jobs["mock"]["if"] == f"!({jobs['gpu']['if']})"


def test_the_gpu_is_for_our_branches_and_for_the_moment_of_a_label(generated):
    job = loaded(generated(*GPU) / FILES[1])["jobs"]["gpu"]
    assert job["runs-on"] == "gpu-1"
    assert job["if"] == (
        "github.event.pull_request.head.repo.full_name == github.repository || "
        "(github.event.action == 'labeled' && github.event.label.name == 'llm-gpu')"
    )


def test_nothing_but_the_comment_and_the_baseline_may_write(generated):
    root = generated(*GPU)
    gate, comment, baseline = (loaded(root / name) for name in FILES[1:])
    assert set(gate["permissions"].values()) == {"read"}
    assert all("permissions" not in job for job in gate["jobs"].values())
    assert comment["permissions"] == baseline["permissions"] == {}
    assert comment["jobs"]["comment"]["permissions"] == {
        "actions": "read",
        "contents": "read",
        "pull-requests": "write",
    }
    assert baseline["jobs"]["refresh"]["permissions"] == {"contents": "write", "pull-requests": "write"}


def test_the_comment_runs_the_default_branch_only(generated):
    steps = loaded(generated() / FILES[2])["jobs"]["comment"]["steps"]
    checkout = next(step for step in steps if "actions/checkout" in step.get("uses", ""))
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert not [step for step in steps if "download-artifact" in step.get("uses", "")]


def test_no_expression_stands_in_a_shell_command(generated):
    root = generated(*GPU)
    for name in FILES:
        for step in steps_of(loaded(root / name)):
            assert "${{" not in step.get("run", ""), name


def steps_of(document: dict) -> list[dict]:
    if "runs" in document:
        return document["runs"]["steps"]
    return [step for job in document["jobs"].values() for step in job["steps"]]


class Runner:
    """Runs the shell steps of an action as GitHub does, with expressions that are plain names."""

    def __init__(self, step, values: dict[str, str], directory: Path) -> None:
        self._step, self._values, self._directory = step, values, directory

    def run(self, one: dict) -> int:
        """The exit status of a step; its outputs are values of the steps after it."""
        variables = {name: self._filled(value) for name, value in one.get("env", {}).items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", one["run"]],
            cwd=self._directory / self._filled(one.get("working-directory", ".")),
            env={**os.environ, **variables, "PATH": path},
            check=False,
        )
        outputs = self._step.outputs if (self._step.folder / "output").read_text() else {}
        self._values |= {f"steps.{one.get('id')}.outputs.{name}": value for name, value in outputs.items()}
        (self._step.folder / "output").write_text("")
        return done.returncode

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: self._values[match[1]], text)


@pytest.fixture
def action(step, tmp_path):
    """Runs the shell steps of the action up to the first that fails: exit statuses, and the values then."""
    document = loaded(ROOT / FILES[0])

    def run(**inputs: str) -> tuple[list[int], dict[str, str]]:
        values = {
            "github.token": "t0ken-of-the-job",
            "steps.upload.outputs.artifact-url": "https://github.example/artifact",
            **{f"inputs.{name}": str(one["default"]) for name, one in document["inputs"].items()},
            **{f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()},
        }
        values["inputs.token"] = "t0ken-of-the-job"
        runner = Runner(step, values, tmp_path / "project")
        statuses: list[int] = []
        for one in document["runs"]["steps"]:
            if "run" in one and not any(statuses):
                statuses.append(runner.run(one))
        return statuses, values

    return run


SCENARIO = """
from pytest_llmperf import llm_slo


@llm_slo(p95_ms=0.1, max_iterations=20)
def test_chat(llm):
    assert llm.chat("merhaba").text
"""
QUICK = "-p llmperf --llm-iterations=20 --llm-warmup=1"
MOCK = 'version: 1\nmock: {latency: {ttft: "constant(2ms)", itl: "constant(0ms)"}}\n'


def test_the_actions_steps_measure_and_report_and_the_last_one_fails(action, step, tmp_path, capfd):
    (tmp_path / "project" / "test_chat.py").write_text(SCENARIO)
    (tmp_path / "project" / "slo.yaml").write_text(MOCK)
    statuses, values = action(install="true", pytest_args=QUICK, strict="")
    assert statuses == [0, 0, 1]
    assert values["steps.report.outputs.outcome"] == "failed"
    assert (tmp_path / "project" / values["steps.report.outputs.report"]).stat().st_size > 1000
    assert "[HTML report and run.json](https://github.example/artifact)" in step.summary
    assert "::error file=test_chat.py,line=5,title=test_chat failed::" in capfd.readouterr().out


def test_inputs_are_words_and_no_shell(action, tmp_path):
    statuses, _ = action(install="true", backend='"; touch owned; echo "', url="$(touch owned)", strict="")
    assert statuses[1] == 0
    assert statuses[2] != 0  # there is no such backend
    assert not list(tmp_path.rglob("owned"))


def test_a_failed_installation_fails(action):
    statuses, _ = action(install="exit 7", strict="")
    assert statuses == [7]


def test_the_comments_step_comments(step, github, finished, generated, monkeypatch, tmp_path):
    document = loaded(generated(*GPU) / FILES[2])
    step.event(finished())
    github.pull()
    (one,) = [one for one in steps_of(document) if "llmperf github comment" in one.get("run", "")]
    assert Runner(step, {"github.token": "t0ken-of-the-job"}, tmp_path).run(one) == 0
    assert github.sent("POST") == ["/repos/owner/project/issues/7/comments"]
