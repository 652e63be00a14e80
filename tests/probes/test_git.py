from __future__ import annotations

import subprocess

import pytest

from pytest_llmperf.probes import git
from pytest_llmperf.probes.git import revision


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A checkout with one commit on main."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    run(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "a.txt").write_text("one")
    run(tmp_path, "add", ".")
    commit(tmp_path)
    return tmp_path


def run(directory, *arguments):
    return subprocess.run(
        ["git", *arguments], cwd=directory, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(directory):
    run(
        directory,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.c",
        "commit",
        "--quiet",
        "--no-gpg-sign",
        "-m",
        "x",
    )


def head(directory):
    return run(directory, "rev-parse", "--short=7", "HEAD")


def test_a_clean_checkout_is_its_commit_and_branch(repository):
    assert revision(repository) == {"commit": head(repository), "branch": "main"}


def test_a_changed_file_is_told(repository):
    (repository / "a.txt").write_text("two")
    assert revision(repository)["commit"] == f"{head(repository)}+changes"


def test_a_new_file_is_no_change(repository):
    (repository / "b.txt").write_text("two")  # as the baseline that is just being saved
    assert revision(repository)["commit"] == head(repository)


def test_a_folder_of_the_checkout_is_part_of_it(repository):
    (repository / "folder").mkdir()
    assert revision(repository / "folder")["branch"] == "main"


def test_a_detached_head_has_no_branch(repository):
    run(repository, "checkout", "--quiet", "--detach")
    assert revision(repository) == {"commit": head(repository)}


def test_a_checkout_without_a_commit_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("GIT_DIR", raising=False)
    run(tmp_path, "init", "--quiet")
    assert revision(tmp_path) == {}


def test_a_directory_outside_a_checkout_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision(tmp_path) == {}


def test_without_git_there_is_nothing_to_tell(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert revision(repository) == {}


def test_a_git_that_hangs_is_not_waited_for(repository, monkeypatch):
    def hang(*_, timeout, **__):
        raise subprocess.TimeoutExpired("git", timeout)

    monkeypatch.setattr(git.subprocess, "run", hang)
    assert revision(repository) == {}


def test_a_directory_below_the_root_is_named_from_there(repository):
    (repository / "services" / "bot").mkdir(parents=True)
    assert revision(repository / "services" / "bot")["directory"] == "services/bot"
    assert "directory" not in revision(repository)
