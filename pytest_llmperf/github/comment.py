"""The one comment on a pull request, made by a workflow that trusts nothing of the pull request's own run.

The run's artifact is downloaded with limits, read against the schema of run.json, and rendered here: no text
of it reaches the comment as it is. The pull request is found by the commit that GitHub says was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.run import Run
from pytest_llmperf.github.api import Api
from pytest_llmperf.github.artifact import read_member
from pytest_llmperf.github.context import Context
from pytest_llmperf.github.page import page
from pytest_llmperf.reports.parse import parse

#: The author of comments that are made with a workflow's own token.
ACTIONS = "github-actions[bot]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """What to say, and as whom."""

    artifact: str  #: the name of the artifact that holds run.json
    expected_backend: str = ""  #: the one that the GPU gate would have measured
    author: str = ACTIONS  #: only this user's comments are replaced


def upsert(context: Context, wanted: Upsert) -> str:
    """Comment on the pull request of the finished run, or replace what was commented before: what was done.

    Raises LlmPerfUsageError for an event that is not a finished run, and for what GitHub refuses.
    """
    run = context.event.get("workflow_run")
    if not isinstance(run, dict):
        raise LlmPerfUsageError("this is for a workflow on workflow_run: the event names no finished run.")
    if run.get("event") != "pull_request":
        return f"run {run['id']} was not for a pull request: nothing to say"
    with Api(context) as api:
        number = _pull_request(api, context, run)
        if number is None:
            return f"no open pull request is at {run['head_sha'][:7]} any more: nothing to say"
        marker = f"<!-- pytest-llmperf {wanted.artifact} -->"
        body = f"{marker}\n{_body(api, context, run, wanted)}"
        for comment in api.listed(f"issues/{number}/comments"):
            if comment["user"]["login"] == wanted.author and comment["body"].startswith(marker):
                api.send("PATCH", f"issues/comments/{int(comment['id'])}", {"body": body})
                return f"comment on #{number} replaced"
        api.send("POST", f"issues/{number}/comments", {"body": body})
        return f"commented on #{number}"


def _pull_request(api: Api, context: Context, run: Mapping[str, Any]) -> int | None:
    """The open pull request whose head is the very commit that was run.

    GitHub names it in the event, but not for a fork's; an artifact could name any.
    """
    head = run["head_repository"]
    candidates = api.listed("pulls", state="open", head=f"{head['owner']['login']}:{run['head_branch']}")
    for pull in candidates:
        there = pull["head"]["repo"]
        if (
            pull["head"]["sha"] == run["head_sha"]
            and there is not None
            and there["id"] == head["id"]
            and pull["base"]["repo"]["full_name"] == context.repository
        ):
            return int(pull["number"])
    return None


def _body(api: Api, context: Context, run: Mapping[str, Any], wanted: Upsert) -> str:
    run_url = f"{context.server_url}/{context.repository}/actions/runs/{int(run['id'])}"
    artifacts = api.listed(f"actions/runs/{int(run['id'])}/artifacts", key="artifacts", name=wanted.artifact)
    artifact = max(artifacts, key=lambda one: int(one["id"]), default=None)  # of the newest attempt
    if artifact is None:
        nothing = Run(started="", problems=("the run left no measurement behind: see its log",))
        return page(nothing, run_url=run_url)
    try:
        measured = parse(read_member(api, artifact, "run.json").decode("utf-8"), where="run.json")
        return page(
            measured,
            run_url=run_url,
            artifact_url=f"{run_url}/artifacts/{int(artifact['id'])}",
            expected_backend=wanted.expected_backend,
        )
    except (LlmPerfUsageError, UnicodeDecodeError, RecursionError, ArithmeticError, ValueError) as error:
        # Whatever a hostile file does to the parser or to a report, the comment says that it was not read.
        unread = Run(started="", problems=(f"the run's measurement cannot be read: {error}",))
        return page(unread, run_url=run_url)
