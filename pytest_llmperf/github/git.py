"""Git in a checkout that a workflow made: shallow, and without credentials of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_llmperf.client.redact import redact
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.github.context import Context


def git(context: Context, *arguments: str, directory: Path) -> bytes:
    """What git prints. Raises LlmPerfUsageError with git's own words, without the token."""
    environment = {**os.environ, **context.git_environment()}
    done = subprocess.run(  # noqa: S603 - arguments are ours
        ["git", *arguments],  # noqa: S607 - the runner's git
        cwd=directory,
        env=environment,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = redact(done.stderr.decode(errors="replace").strip(), [context.token])
        raise LlmPerfUsageError(f"git {' '.join(arguments[:2])}: {said}")
    return done.stdout


def has(context: Context, commit: str, directory: Path) -> bool:
    """Whether *commit* is in the checkout, fetched when it is not."""
    for arguments in (
        ["cat-file", "-e", f"{commit}^{{commit}}"],
        ["fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit],
        ["cat-file", "-e", f"{commit}^{{commit}}"],
    ):
        try:
            git(context, *arguments, directory=directory)
        except LlmPerfUsageError:
            continue
        if arguments[0] == "cat-file":
            return True
    return False


def top_of(context: Context, directory: Path) -> Path:
    """The root of the checkout that *directory* is in; GitHub's workspace where there is none."""
    try:
        return Path(git(context, "rev-parse", "--show-toplevel", directory=directory).decode().strip())
    except LlmPerfUsageError:
        return context.workspace


def changed(context: Context, paths: Sequence[str], directory: Path) -> bool:
    """Whether anything below *paths* differs from what is committed, or is new."""
    return bool(git(context, "status", "--porcelain", "--", *paths, directory=directory))
