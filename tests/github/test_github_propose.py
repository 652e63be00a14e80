"""The refreshed baseline as a pull request."""

from __future__ import annotations

import base64

import pytest

from pytest_llmperf.cli import main
from pytest_llmperf.github.context import Context


@pytest.fixture
def refreshed(step, in_git, tmp_path):
    """A checkout of main in which the baseline was measured again, and its remote."""
    project, remote = tmp_path / "project", tmp_path / "remote.git"
    in_git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    in_git(project, "init", "--quiet", "--initial-branch=main")
    (project / "slo.yaml").write_text("version: 1\n")
    in_git(project, "add", ".")
    in_git(project, "commit", "--quiet", "-m", "one")
    in_git(project, "remote", "add", "origin", str(remote))
    in_git(project, "push", "--quiet", "origin", "main")
    (project / ".llmperf" / "baselines").mkdir(parents=True)
    (project / ".llmperf" / "baselines" / "run.json").write_text("{}")
    (project / "left-over.txt").write_text("not part of it")
    return remote


def propose() -> int:
    return main(["github", "propose"])


def test_the_new_files_and_nothing_else_are_pushed_to_a_branch(refreshed, in_git, github):
    assert propose() == 0
    assert in_git(refreshed, "ls-tree", "-r", "--name-only", "llm-baseline").splitlines() == [
        ".llmperf/baselines/run.json",
        "slo.yaml",
    ]
    assert in_git(refreshed, "log", "-1", "--format=%an", "llm-baseline") == "github-actions[bot]"
    assert github.sent("POST") == ["/repos/owner/project/pulls"]
    (body,) = github.bodies
    assert (body["head"], body["base"]) == ("llm-baseline", "main")


def test_an_open_pull_request_gets_the_new_commit(refreshed, github, capsys):
    github.refuses["POST"] = (422, "A pull request already exists")
    assert propose() == 0
    assert "whose pull request is open" in capsys.readouterr().out


def test_a_repository_that_allows_no_pull_requests_says_where_to_open_it(refreshed, github, capsys, in_git):
    github.refuses["POST"] = (403, "GitHub Actions is not permitted to create or approve pull requests.")
    assert propose() == 2
    said = capsys.readouterr().err
    assert "https://github.example/owner/project/compare/main...llm-baseline?expand=1" in said
    assert "Allow GitHub Actions to create pull requests" in said
    assert in_git(refreshed, "rev-parse", "llm-baseline")


def test_a_baseline_that_did_not_change_is_not_proposed(refreshed, tmp_path, github, capsys):
    (tmp_path / "project" / ".llmperf" / "baselines" / "run.json").unlink()
    assert propose() == 0
    assert "did not change" in capsys.readouterr().out
    assert github.requests == []


def test_a_refused_push_is_told_without_the_token(refreshed, tmp_path, in_git, capsys):
    in_git(tmp_path / "project", "remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    assert propose() == 2
    said = capsys.readouterr().err
    assert "git push" in said
    assert "t0ken" not in said


def test_git_gets_the_token_by_its_environment_and_asks_nobody():
    context = Context(repository="owner/project", server_url="https://github.example", token="t0ken")
    given = context.git_environment()
    assert given["GIT_CONFIG_KEY_0"] == "http.https://github.example/.extraheader"
    scheme, basic = given["GIT_CONFIG_VALUE_0"].removeprefix("AUTHORIZATION: ").split()
    assert (scheme, base64.b64decode(basic)) == ("basic", b"x-access-token:t0ken")
    assert given["GIT_TERMINAL_PROMPT"] == "0"
    assert "t0ken" not in repr(context)
