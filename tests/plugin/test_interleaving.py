"""``--llm-ab``: two arms of one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

QUIET = "mock: {{latency: {{ttft: 'constant({ms}ms)', itl: 'constant(0ms)'}}}}\n"

CHAT = """
from pytest_llmperf import llm_slo

@llm_slo(p95_ms=9000)
def test_chat(llm):
    assert llm.chat("merhaba").text
"""


class Project:
    """A git repository of a user."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=someone", "-c", "user.email=someone@example.invalid"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True, text=True
        ).stdout

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=step")

    def pytest(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=self.root,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    @property
    def worktrees(self) -> int:
        return len(self.git("worktree", "list").splitlines())


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def slowed(project: Project, *, ms: int = 12) -> None:
    """The committed mock takes 4 ms, the working tree's *ms*."""
    project.write("slo.yaml", QUIET.format(ms=4))
    project.write("tests/test_chat.py", CHAT)
    project.commit()
    project.write("slo.yaml", QUIET.format(ms=ms))


def test_a_slower_working_tree_fails_against_its_own_revision(project):
    slowed(project, ms=60)
    result = project.pytest("--llm-ab=git:HEAD")
    assert result.returncode == 1, result.stdout
    assert "regressed" in result.stdout
    assert "(git:HEAD (" in result.stdout


def test_an_unchanged_working_tree_does_not_fail_and_leaves_nothing_behind(project):
    slowed(project)
    # A busy machine may be slower to the processes of one arm; how seldom a quiet one fails is for the core.
    project.write("tests/test_chat.py", CHAT.replace("9000", "9000, max_regression=1.0, gate=['p50_ms']"))
    project.commit()
    result = project.pytest("--llm-ab=git:HEAD", "--llm-max-iterations=60", TMPDIR=str(project.root / "tmp"))
    assert result.returncode == 0, result.stdout
    assert project.worktrees == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_both_arms_get_the_same_share_of_the_processor_and_ctrl_c_reaches_one(project):
    test = """
        import os
        from pytest_llmperf import llm_slo

        @llm_slo(warmup=0, iterations=1, max_iterations=1)
        def test_arm(llm):
            llm.chat("merhaba")
            with open(LOG, "a") as log:
                log.write(f"{os.getsid(0)} {os.getpgrp()}\\n")
        """
    project.write("tests/test_arm.py", test.replace("LOG", repr(str(project.root / "log"))))
    project.commit()
    project.pytest("--llm-ab=git:HEAD")
    sessions, groups = zip(*map(str.split, (project.root / "log").read_text().splitlines()), strict=True)
    assert len(set(sessions)) == 1  # by which Linux shares it out
    assert len(set(groups)) == 2


def test_the_base_runs_its_own_code_also_in_a_src_layout(project):
    project.write("src/app/__init__.py", "SPEED = 'old'\n")
    project.write("slo.yaml", QUIET.format(ms=1))
    project.write("pytest.ini", "[pytest]\npythonpath = src\n")
    project.write(
        "tests/test_app.py",
        """
        from pathlib import Path
        from app import SPEED
        from pytest_llmperf import llm_slo

        @llm_slo(warmup=0, iterations=20, max_iterations=20)
        def test_app(llm):
            llm.chat("merhaba")
            with open(LOG, "a") as log:
                log.write(SPEED + " ")
        """.replace("LOG", repr(str(project.root / "log"))),
    )
    project.commit()
    project.write("src/app/__init__.py", "SPEED = 'new'\n")
    result = project.pytest("--llm-ab=git:HEAD")
    ran = (project.root / "log").read_text().split()
    assert (ran.count("old"), ran.count("new")) == (20, 20), result.stdout
    assert all({"old", "new"} == set(ran[turn : turn + 2]) for turn in range(0, 40, 2)), "not in turns"
    assert ran != ["old", "new"] * 20, "not in random order"


def test_a_scenario_that_is_new_has_nothing_to_be_compared_with(project):
    slowed(project)
    project.write("tests/test_new.py", CHAT.replace("test_chat", "test_new"))
    result = project.pytest("tests/test_new.py", "--llm-ab=git:HEAD", "--llm-iterations=5")
    assert result.returncode == 0, result.stdout
    assert "there is nothing to compare with" in result.stdout


def test_a_base_that_cannot_be_imported_is_not_comparable(project):
    slowed(project)
    project.write("tests/test_chat.py", "import no_such_module\n" + CHAT)
    project.commit()
    project.write("tests/test_chat.py", CHAT)
    result = project.pytest("--llm-ab=git:HEAD", "--llm-iterations=5", "--llm-strict=not_comparable")
    assert result.returncode == 1, result.stdout
    assert "No module named 'no_such_module'" in result.stdout
    assert project.worktrees == 1


def test_a_base_that_dies_in_the_middle_is_said_and_the_candidate_goes_on(project):
    slowed(project)
    project.write(
        "tests/test_chat.py",
        """
        import itertools, os
        from pytest_llmperf import llm_slo
        calls = itertools.count()

        @llm_slo(iterations=20, max_iterations=20)
        def test_chat(llm):
            llm.chat("merhaba")
            if next(calls) == 12:
                os._exit(3)
        """,
    )
    project.commit()
    project.write("tests/test_chat.py", CHAT)
    result = project.pytest("--llm-ab=git:HEAD", "--llm-iterations=20", "--llm-max-iterations=20")
    assert result.returncode == 0, result.stdout
    assert "not comparable" in result.stdout
    assert "could not run it" in result.stdout
    assert project.worktrees == 1


def test_an_unknown_revision_is_one_clear_line(project):
    slowed(project)
    result = project.pytest("--llm-ab=git:no-such-branch")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--llm-ab git:no-such-branch:" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_neither_worktree_nor_process_outlives_a_killed_session(project):
    slowed(project)
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--llm-ab=git:HEAD", "--llm-iterations=4000"],
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: project.worktrees == 2)
    finally:
        running.kill()
        running.wait()
    assert eventually(lambda: project.worktrees == 1)


def test_another_backend_is_measured_in_turns(project):
    project.write(
        "slo.yaml",
        """
        backends: {spare: {kind: mock}}
        mock: {latency: {ttft: 'constant(2ms)', itl: 'constant(0ms)'}}
        """,
    )
    project.write(
        "test_chat.py",
        """
        from pytest_llmperf import llm_slo

        @llm_slo(warmup=0, iterations=20, max_iterations=20)
        def test_chat(llm):
            llm.chat("merhaba")
            with open("log", "a") as log:
                log.write(llm.backend + " ")

        @llm_slo(warmup=0, iterations=20, max_iterations=20)
        async def test_async(async_llm):
            await async_llm.chat("merhaba")
            with open("log", "a") as log:
                log.write(async_llm.backend + " ")
        """,
    )
    result = project.pytest("--llm-ab=spare", "--llm-gate=warn")
    ran = (project.root / "log").read_text().split()
    assert result.returncode == 0, result.stdout
    assert (ran.count("spare"), ran.count("mock")) == (40, 40)
    assert all({"spare", "mock"} == set(ran[turn : turn + 2]) for turn in range(0, 80, 2))


def test_nothing_of_two_arms_is_stored_as_a_baseline(project):
    result = project.pytest("--llm-ab=mock", "--save-baseline")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--llm-ab measures nothing that could be stored" in result.stderr


def eventually(holds, *, within_s: float = 60.0) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if holds():
            return True
        time.sleep(0.1)
    return False


def test_a_pair_with_a_failed_request_is_left_out_of_both_arms(project):
    project.write(
        "slo.yaml",
        """
        backends: {spare: {kind: mock}}
        mock: {latency: {ttft: 'constant(2ms)', itl: 'constant(0ms)'}}
        """,
    )
    project.write(
        "test_chat.py",
        """
        from collections import Counter
        from pytest_llmperf import llm_slo
        turns = Counter()
        failing = {("spare", 4), ("mock", 9)}

        @llm_slo(success_rate=0.5, warmup=0, iterations=20, max_iterations=20)
        def test_chat(llm, llm_mock):
            turns[llm.backend] += 1
            if (llm.backend, turns[llm.backend]) in failing:
                llm_mock.faults(kind="status", status=500)
            try:
                llm.chat("merhaba")
            finally:
                llm_mock.faults()
        """,
    )
    project.pytest("--llm-ab=spare", "--llm-gate=warn", "--llm-report=run.json")
    (scenario,) = json.loads((project.root / "run.json").read_text())["scenarios"]
    compared = [
        check for check in scenario["checks"] if check["kind"] == "regression" and check["unit"] == "s"
    ]
    assert (scenario["requests"]["sent"], scenario["requests"]["failed"]) == (20, 1)
    assert len(scenario["series"]["latency_s"]) == 18
    assert [check["n"] for check in compared] == [18, 18]
    assert all("(spare, n=18)" in check["reason"] for check in compared)
