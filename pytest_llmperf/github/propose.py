"""A refreshed baseline as a pull request, so that it is reviewed as every other change."""

from __future__ import annotations

from pathlib import Path

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.github.api import Api, RefusedError
from pytest_llmperf.github.context import Context
from pytest_llmperf.github.git import changed, git

_TITLE = "Refresh the performance baseline"
_BODY = """\
Measured on `{branch}` at {commit}. `llmperf baseline diff` shows what changed against the anchor.

The numbers decide what later pull requests are held against, so look at them before merging.
"""


def propose(context: Context, baseline: Path, *, branch: str, directory: Path) -> str:
    """Push the files of *baseline* to *branch* and open a pull request, unless there is one: what was done.

    Raises LlmPerfUsageError for what git or GitHub refuses.
    """
    if not changed(context, [str(baseline)], directory):
        return "the baseline did not change"
    into = context.base_branch
    if into is None:
        raise LlmPerfUsageError("the event names no branch to propose the baseline for")
    commit = git(context, "rev-parse", "--short=7", "HEAD", directory=directory).decode().strip()
    identity = [
        "-c",
        "user.name=github-actions[bot]",
        "-c",
        "user.email=41898282+github-actions[bot]@users.noreply.github.com",
    ]
    git(context, "checkout", "--quiet", "-B", branch, directory=directory)
    git(context, "add", "--all", "--", str(baseline), directory=directory)
    git(context, *identity, "commit", "--quiet", "--message", _TITLE, directory=directory)
    git(context, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}", directory=directory)
    body = {
        "title": _TITLE,
        "head": branch,
        "base": into,
        "body": _BODY.format(branch=into, commit=commit),
    }
    with Api(context) as api:
        try:
            pull = api.send("POST", "pulls", body)
        except RefusedError as error:
            if error.status == 422:  # there is one for this branch already, which shows the new commit
                return f"pushed to {branch}, whose pull request is open"
            link = f"{context.server_url}/{context.repository}/compare/{into}...{branch}?expand=1"
            raise LlmPerfUsageError(
                f"{error}. The baseline is on the branch {branch}: open the pull request yourself at {link}, "
                'or allow it under Settings, Actions, "Allow GitHub Actions to create pull requests"'
            ) from None
    return f"opened #{int(pull['number'])}"
