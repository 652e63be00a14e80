"""What GitHub tells a step about itself: its variables, and the event that started the workflow."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A step of a workflow. The token is in no text that this class makes."""

    repository: str  #: owner/name
    server_url: str = "https://github.com"
    api_url: str = "https://api.github.com"
    run_id: str = ""
    ref_name: str = ""  #: the branch that was started, or N/merge for a pull request
    workspace: Path = Path()
    event: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)
    output: Path | None = None  #: where outputs are appended to
    summary: Path | None = None  #: where Markdown is appended to

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Context:
        """The step that *environment* describes. Raises LlmPerfUsageError outside a workflow."""
        repository = environment.get("GITHUB_REPOSITORY", "")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            raise LlmPerfUsageError(
                "GITHUB_REPOSITORY is not set: llmperf github is for a step of a GitHub workflow. "
                "On your own machine, use pytest."
            )
        given = {
            "server_url": environment.get("GITHUB_SERVER_URL"),
            "api_url": environment.get("GITHUB_API_URL"),
            "run_id": environment.get("GITHUB_RUN_ID"),
            "ref_name": environment.get("GITHUB_REF_NAME"),
            "token": environment.get("GITHUB_TOKEN"),
            "workspace": _path(environment.get("GITHUB_WORKSPACE")),
            "output": _path(environment.get("GITHUB_OUTPUT")),
            "summary": _path(environment.get("GITHUB_STEP_SUMMARY")),
        }
        known: dict[str, Any] = {name: value for name, value in given.items() if value}
        return cls(repository=repository, event=_event(environment.get("GITHUB_EVENT_PATH")), **known)

    @property
    def base_commit(self) -> str | None:
        """The commit that a pull request or a merge group is based on; None for other events."""
        pull, group = self.event.get("pull_request"), self.event.get("merge_group")
        found = pull["base"]["sha"] if pull else group["base_sha"] if group else None
        return found if isinstance(found, str) and _COMMIT.fullmatch(found) else None

    @property
    def base_branch(self) -> str | None:
        """The branch that a pull request goes to, else the one that the workflow was started on."""
        pull = self.event.get("pull_request")
        found = pull["base"]["ref"] if pull else self.ref_name
        return found if isinstance(found, str) and found else None

    @property
    def run_url(self) -> str:
        """The page of this workflow run."""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}"

    def git_environment(self) -> dict[str, str]:
        """Variables that let git talk to the repository; the token stands in no command line or file."""
        if self.token is None:
            return {}
        basic = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{self.server_url}/.extraheader",
            "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {basic}",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def say(self, name: str, value: str) -> None:
        """Set the step's output *name*, in one line."""
        if self.output is not None:
            with self.output.open("a", encoding="utf-8") as file:
                file.write(f"{name}={' '.join(value.split())}\n")

    def summarise(self, markdown: str) -> None:
        """Add *markdown* to the step's summary."""
        if self.summary is not None:
            with self.summary.open("a", encoding="utf-8") as file:
                file.write(markdown)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _event(path: str | None) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        event = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise LlmPerfUsageError(f"GITHUB_EVENT_PATH: {path} cannot be read ({error}).") from None
    return event if isinstance(event, dict) else {}
