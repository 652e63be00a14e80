"""The baseline of the branch that a pull request goes to, so that no pull request is its own measure."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.github.api import Api
from pytest_llmperf.github.artifact import extract
from pytest_llmperf.github.context import Context
from pytest_llmperf.github.git import git, has


def restore_committed(context: Context, baseline: Path, *, into: Path, directory: Path) -> str:
    """Fill *into* with the files of *baseline* as the base commit has them: a sentence about it.

    A scenario and environment that the base knows nothing of comes from the pull request's own files:
    there is nothing older to hold it against. Raises LlmPerfUsageError when the base is out of reach.
    """
    commit = context.base_commit
    if commit is None:
        raise LlmPerfUsageError("the event has no base commit")
    if not has(context, commit, directory):
        raise LlmPerfUsageError(
            f"the base commit {commit[:7]} cannot be fetched; give actions/checkout `fetch-depth: 2`"
        )
    prefix = git(context, "rev-parse", "--show-prefix", directory=directory).decode().strip()
    path = (Path(prefix) / baseline).as_posix()
    top = Path(git(context, "rev-parse", "--show-toplevel", directory=directory).decode().strip())
    into.mkdir(parents=True, exist_ok=True)
    count = 0
    if git(context, "ls-tree", "-d", commit, "--", path, directory=top):
        archive = git(context, "archive", "--format=tar", commit, "--", path, directory=top)
        count = _unpack(archive, path, into)
    added = _overlay(directory / baseline, into)
    told = f"baseline: {count} files of the base commit {commit[:7]}"
    return f"{told}, and {added} of this change for what the base does not know" if added else told


def restore_artifact(context: Context, name: str, *, into: Path) -> str:
    """Fill *into* from the newest artifact *name* of the base branch: a sentence about it.

    Only runs of the repository itself count: a fork may call its branch "main" too.
    """
    into.mkdir(parents=True, exist_ok=True)
    branch = context.base_branch
    with Api(context) as api:
        for artifact in api.listed("actions/artifacts", key="artifacts", name=name):
            if not artifact["expired"] and _is_ours(artifact.get("workflow_run") or {}, branch):
                count = extract(api, artifact, into)
                return f"baseline: {count} files of the artifact {name} of {branch}"
    return f"baseline: no artifact {name} of {branch} yet"


def _is_ours(run: Mapping[str, Any], branch: str | None) -> bool:
    same = run.get("repository_id") is not None and run["repository_id"] == run.get("head_repository_id")
    return same and branch is not None and run.get("head_branch") == branch


def _unpack(content: bytes, path: str, into: Path) -> int:
    count = 0
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                target = into / Path(member.name).relative_to(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read())
                count += 1
    return count


def _overlay(ours: Path, into: Path) -> int:
    """Copy each scenario's environment of *ours* that *into* lacks: how many files."""
    count = 0
    for environment in sorted(path for path in ours.glob("*/*") if path.is_dir()):
        target = into / environment.relative_to(ours)
        if not target.exists():
            shutil.copytree(environment, target)
            count += sum(1 for path in target.iterdir())
    return count
