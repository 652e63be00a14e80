"""The gate's pytest in a checkout: the base's baseline, the inputs, and the second run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from pytest_llmperf.cli import main
from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.stores.directory import DirectoryStore

#: Stands for pytest: it writes the run.json that the test wants, and what it was called with.
FAKE = """
import json, os, pathlib, shutil, sys

calls = pathlib.Path({folder!r}) / "calls.json"
known = json.loads(calls.read_text()) if calls.exists() else []
known.append({{"arguments": sys.argv[1:], "only": os.environ.get("LLMPERF_ONLY")}})
calls.write_text(json.dumps(known))
target = [word.partition("=")[2] for word in sys.argv if word.endswith("run.json")][0]
made = pathlib.Path({folder!r}) / f"{{len(known)}}.json"
if made.exists():
    pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(made, target)
print("::set-output name=owned::by a model")
sys.exit(int((pathlib.Path({folder!r}) / "status").read_text().split()[len(known) - 1]))
"""


def run_json(**outcomes: str) -> str:
    return json.dumps(
        {
            "schema": "pytest-llmperf/run/1",
            "outcome": "passed",
            "environment": {"backend": "mock"},
            "scenarios": [
                {
                    "id": f"test_chat.py::{name}",
                    "name": name,
                    "backend": "mock",
                    "model": "mock",
                    "outcome": outcome,
                    "reason": "measured",
                    "checks": [],
                    "series": {"latency_s": [0.1, 0.2]},
                    "requests": {"sent": 2, "failed": 0},
                    "tokens": {},
                }
                for name, outcome in outcomes.items()
            ],
        }
    )


@pytest.fixture
def pytest_says(step, monkeypatch, tmp_path):
    """Lets a stand-in be pytest: pytest_says((status, outcomes), ...) for each of its runs."""
    real = subprocess.run
    script = tmp_path / "fake_pytest.py"
    script.write_text(FAKE.format(folder=str(step.folder)))

    def run(command, **more):
        if command[:3] == [sys.executable, "-m", "pytest"]:
            command = [sys.executable, str(script), *command[3:]]
        return real(command, **more)

    monkeypatch.setattr(subprocess, "run", run)

    def says(*runs):
        (step.folder / "status").write_text(" ".join(str(status) for status, _ in runs))
        for index, (_, outcomes) in enumerate(runs, start=1):
            if outcomes is not None:
                (step.folder / f"{index}.json").write_text(run_json(**outcomes))

    return says


@pytest.fixture
def calls(step):
    return lambda: json.loads((step.folder / "calls.json").read_text())


def stored(folder, scenario: str, *, latency_s: float = 0.1) -> None:
    run = StoredRun(
        scenario=scenario,
        saved="2026-01-01T00:00:00+00:00",
        facts={"backend kind": "mock"},
        series={"latency_s": (latency_s,) * 20},
    )
    DirectoryStore(folder).save(run, append=False)


@pytest.fixture
def checkout(step, in_git, tmp_path):
    """The merge of a pull request, in the project's directory: its base has a baseline of `old`."""
    project = tmp_path / "project"
    in_git(project, "init", "--quiet", "--initial-branch=main")
    stored(project / ".llmperf" / "baselines", "old")
    in_git(project, "add", ".")
    in_git(project, "commit", "--quiet", "-m", "base")
    base = in_git(project, "rev-parse", "HEAD")
    shutil.rmtree(project / ".llmperf")
    stored(project / ".llmperf" / "baselines", "old", latency_s=9.0)
    stored(project / ".llmperf" / "baselines", "new")
    in_git(project, "add", ".")
    in_git(project, "commit", "--quiet", "-m", "head")
    step.event({"pull_request": {"base": {"sha": base, "ref": "main"}}})
    return project


def measure(*arguments: str) -> int:
    return main(["github", "measure", *arguments])


def test_the_inputs_become_pytests_options(step, pytest_says, calls):
    pytest_says((0, {"test_chat": "passed"}))
    assert measure("--backend=vllm", "--url=http://127.0.0.1:1/v1", "--pytest-args=tests -k 'a or b'") == 0
    (call,) = calls()
    assert call["arguments"] == [
        "tests",
        "-k",
        "a or b",
        "--llm-backend=vllm",
        "--llm-url=http://127.0.0.1:1/v1",
        "--llm-strict=no_baseline,not_comparable",
        "--llm-report=llm-gate/run.json",
        "--llm-report=llm-gate/report.html",
        "--llm-report=llm-gate/report.md",
    ]


def test_empty_inputs_are_none(step, pytest_says, calls):
    pytest_says((0, {}))
    measure("--backend=", "--url=", "--baseline-artifact=", "--pytest-args=")
    assert not [word for word in calls()[0]["arguments"] if word.startswith(("--llm-backend", "--llm-url"))]


def test_the_status_waits_until_the_reports_are_kept(step, pytest_says):
    pytest_says((1, {"test_chat": "failed"}))
    assert measure() == 0
    assert step.outputs == {"status": "1"}


def test_what_a_model_prints_does_not_command_the_runner(step, pytest_says, capfd):
    pytest_says((0, {}))
    measure()
    lines = capfd.readouterr().out.splitlines()
    start = next(line for line in lines if line.startswith("::stop-commands::"))
    token = start.removeprefix("::stop-commands::")
    printed = lines.index("::set-output name=owned::by a model")
    assert lines.index(start) < printed < lines.index(f"::{token}::")
    assert len(token) >= 32


def test_two_runs_stop_commands_with_different_tokens(step, pytest_says, capfd):
    pytest_says((0, {}), (0, {}))
    measure()
    measure()
    starts = [line for line in capfd.readouterr().out.splitlines() if line.startswith("::stop-commands::")]
    assert len(set(starts)) == 2


def test_an_earlier_runs_reports_are_gone(step, pytest_says, tmp_path):
    folder = tmp_path / "project" / "llm-gate"
    folder.mkdir()
    (folder / "run.json").write_text("old")
    pytest_says((4, None))
    measure()
    assert not folder.exists()
    assert step.outputs == {"status": "4"}


def test_a_pull_request_is_held_against_the_baseline_of_its_base(checkout, pytest_says, calls, capfd):
    pytest_says((0, {}))
    measure()
    assert f"--llm-baseline={checkout / '.llmperf' / 'base'}" in calls()[0]["arguments"]
    base = DirectoryStore(checkout / ".llmperf" / "base")
    assert base.history("old").runs[0].series["latency_s"][0] == 0.1
    assert "1 files of the base commit" in capfd.readouterr().out


def test_what_the_base_does_not_know_is_held_against_the_changes_own_baseline(checkout, pytest_says):
    pytest_says((0, {}))
    measure()
    assert len(DirectoryStore(checkout / ".llmperf" / "base").history("new").runs) == 1


def test_a_base_without_a_baseline_leaves_the_changes_own(checkout, step, pytest_says, in_git):
    in_git(checkout, "checkout", "--quiet", "--orphan", "bare")
    in_git(checkout, "rm", "-r", "--quiet", "--cached", ".")
    in_git(checkout, "commit", "--quiet", "--allow-empty", "-m", "bare")
    base = in_git(checkout, "rev-parse", "HEAD")
    step.event({"pull_request": {"base": {"sha": base, "ref": "main"}}})
    pytest_says((0, {}))
    measure()
    store = DirectoryStore(checkout / ".llmperf" / "base")
    assert store.history("old").runs[0].series["latency_s"][0] == 9.0


def test_a_base_that_is_not_in_a_shallow_checkout_is_fetched(
    checkout, step, pytest_says, calls, in_git, tmp_path, monkeypatch
):
    in_git(checkout, "config", "uploadpack.allowAnySHA1InWant", "true")
    shallow = tmp_path / "shallow"
    in_git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{checkout}", str(shallow))
    monkeypatch.chdir(shallow)
    pytest_says((0, {}))
    measure()
    assert DirectoryStore(shallow / ".llmperf" / "base").history("old").runs[0].series["latency_s"][0] == 0.1


def test_a_base_out_of_reach_is_an_error_that_says_what_to_do(checkout, step, pytest_says, capsys):
    step.event({"pull_request": {"base": {"sha": "c" * 40, "ref": "main"}}})
    assert measure() == 2
    assert "fetch-depth" in capsys.readouterr().err


def test_a_merge_group_has_a_base_too(checkout, step, pytest_says, calls, in_git):
    step.event({"merge_group": {"base_sha": in_git(checkout, "rev-parse", "HEAD^")}})
    pytest_says((0, {}))
    measure()
    assert any(word.endswith(".llmperf/base") for word in calls()[0]["arguments"])


def test_a_push_uses_the_committed_files_as_they_are(checkout, step, pytest_says, calls):
    step.event({"ref": "refs/heads/main"})
    pytest_says((0, {}))
    measure()
    assert "--llm-baseline=.llmperf/baselines" in calls()[0]["arguments"]


def artifact_of(checkout, archive) -> bytes:
    root = checkout / ".llmperf" / "baselines"
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.json")}
    return archive({**files, "readme.txt": "not wanted"})


OURS = {"workflow_run": {"repository_id": 1, "head_repository_id": 1, "head_branch": "main"}}
FORKS = {"workflow_run": {"repository_id": 1, "head_repository_id": 2, "head_branch": "main"}}
OTHER = {"workflow_run": {"repository_id": 1, "head_repository_id": 1, "head_branch": "feature"}}


def test_the_baseline_can_be_the_newest_artifact_of_the_base_branch(checkout, github, archive, pytest_says):
    for more in (FORKS, OTHER, {**OURS, "expired": True}, {"workflow_run": None}):
        github.artifact(b"poison", name="llm-baseline-mock", **more)
    github.artifact(artifact_of(checkout, archive), name="llm-baseline-mock", **OURS)
    pytest_says((0, {}))
    assert measure("--baseline-artifact=llm-baseline-mock") == 0
    assert len(DirectoryStore(checkout / ".llmperf" / "base").history("old").runs) == 1
    assert not list((checkout / ".llmperf" / "base").rglob("*.txt"))


def test_without_such_an_artifact_there_is_no_baseline(checkout, github, pytest_says, capfd):
    pytest_says((0, {}))
    assert measure("--baseline-artifact=llm-baseline-mock") == 0
    assert "no artifact llm-baseline-mock of main yet" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["../../evil.json", "/tmp/evil-llmperf.json"])
def test_an_artifact_writes_nothing_outside_its_folder(checkout, github, archive, pytest_says, capsys, name):
    github.artifact(archive({name: "{}"}), name="llm-baseline-mock", **OURS)
    assert measure("--baseline-artifact=llm-baseline-mock") == 2
    assert "outside its folder" in capsys.readouterr().err
    assert not list(checkout.parent.rglob("evil*.json"))


def test_unproven_fails_when_it_is_told_to(step, pytest_says, calls):
    pytest_says((0, {}))
    measure("--on-unproven=fail", "--strict=")
    assert "--llm-strict=unproven" in calls()[0]["arguments"]


def test_an_unknown_answer_to_unproven_is_refused(step, capsys):
    with pytest.raises(SystemExit):
        measure("--on-unproven=ignore")
    assert "rerun-ab" in capsys.readouterr().err


def outcomes(project) -> dict[str, str]:
    run = json.loads((project / "llm-gate" / "run.json").read_text())
    return {one["name"]: one["outcome"] for one in run["scenarios"]}


def test_an_undecided_scenario_is_measured_again_in_turns_with_the_base(checkout, pytest_says, calls, in_git):
    pytest_says(
        (0, {"a": "passed", "b": "unproven", "c": "inconclusive"}), (0, {"b": "passed", "c": "passed"})
    )
    assert measure("--on-unproven=rerun-ab") == 0
    first, second = calls()
    base = in_git(checkout, "rev-parse", "HEAD^")
    assert f"--llm-ab=git:{base}" in second["arguments"]
    assert second["only"].splitlines() == ["test_chat.py::b", "test_chat.py::c"]
    assert first["only"] is None
    assert outcomes(checkout) == {"a": "passed", "b": "passed", "c": "passed"}


def test_a_regression_that_the_second_run_proves_fails(checkout, step, pytest_says):
    pytest_says((0, {"a": "passed", "b": "unproven"}), (1, {"b": "regressed"}))
    measure("--on-unproven=rerun-ab")
    assert step.outputs == {"status": "1"}
    assert outcomes(checkout)["b"] == "regressed"
    assert "regressed" in (checkout / "llm-gate" / "report.md").read_text("utf-8")


def test_a_failure_of_the_first_run_stays_one(checkout, step, pytest_says):
    pytest_says((1, {"a": "failed", "b": "unproven"}), (0, {"b": "passed"}))
    measure("--on-unproven=rerun-ab")
    assert step.outputs == {"status": "1"}


def test_a_second_run_that_cannot_be_leaves_the_first_verdict_and_says_so(checkout, step, pytest_says):
    pytest_says((0, {"b": "unproven"}), (4, None))
    measure("--on-unproven=rerun-ab")
    assert step.outputs == {"status": "0"}
    assert outcomes(checkout) == {"b": "unproven"}
    run = json.loads((checkout / "llm-gate" / "run.json").read_text())
    assert "could not be measured again (pytest exit 4)" in run["warnings"][0]


def test_a_base_that_cannot_run_it_leaves_the_first_verdict(checkout, step, pytest_says, calls):
    pytest_says((0, {"b": "unproven"}), (1, {"b": "not_comparable"}))
    measure("--on-unproven=rerun-ab")
    assert not [word for word in calls()[1]["arguments"] if word.startswith("--llm-strict")]
    assert step.outputs == {"status": "0"}
    assert outcomes(checkout) == {"b": "unproven"}
    run = json.loads((checkout / "llm-gate" / "run.json").read_text())
    assert "left undecided: test_chat.py::b" in run["warnings"][0]


def test_a_strict_word_about_the_undecided_is_asked_after_the_second_run(checkout, step, pytest_says, calls):
    pytest_says((0, {"b": "unproven"}), (0, {"b": "unproven"}))
    measure("--on-unproven=rerun-ab", "--strict=unproven")
    assert "--llm-strict=" in calls()[0]["arguments"]
    assert step.outputs == {"status": "1"}


def test_nothing_undecided_is_not_measured_again(checkout, pytest_says, calls):
    pytest_says((0, {"a": "passed"}))
    measure("--on-unproven=rerun-ab")
    assert len(calls()) == 1


def test_a_push_has_no_base_to_measure_against(step, pytest_says, calls):
    pytest_says((0, {"a": "unproven"}))
    measure("--on-unproven=rerun-ab")
    assert len(calls()) == 1
