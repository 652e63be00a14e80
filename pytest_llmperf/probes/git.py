"""Which revision of the project is being measured."""

from __future__ import annotations

import subprocess
from pathlib import Path


def revision(directory: Path) -> dict[str, str]:
    """``commit`` (short hash, with ``+changes`` where the work tree differs), ``branch`` and ``directory``.

    The last is *directory* below the checkout's root; absent where it is the root.

    Empty outside a git checkout, or without git.
    """
    commit = _git(directory, "rev-parse", "--short=7", "HEAD")
    if commit is None:
        return {}
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    branch = _git(directory, "symbolic-ref", "--short", "--quiet", "HEAD")
    found = {"commit": f"{commit}+changes" if changed else commit}
    below = (_git(directory, "rev-parse", "--show-prefix") or "").rstrip("/")
    return {**found, **({"branch": branch} if branch else {}), **({"directory": below} if below else {})}


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *arguments],  # noqa: S607 - the user's git
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
