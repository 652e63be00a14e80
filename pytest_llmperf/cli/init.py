"""``llmperf init``: write slo.yaml and a first scenario, and with --github the gate of pull requests."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pytest_llmperf.cli import argument
from pytest_llmperf.core.errors import LlmPerfUsageError

_TEMPLATES = resources.files("pytest_llmperf") / "templates"

#: Files of a project, by the template that they come from.
_PROJECT = {"slo.yaml": "slo.yaml", "test_llm.py.txt": "tests/test_llm.py"}

#: Files at the root of its repository.
_GITHUB = {
    f"github/{name}": f".github/{name}"
    for name in (
        "actions/llm-gate/action.yml",
        "workflows/llm-gate.yml",
        "workflows/llm-gate-comment.yml",
        "workflows/llm-baseline.yml",
    )
}

_INSTALL, _PYTEST_ARGS = "python -m pip install pytest-llmperf", "-m llm_slo"
_GPU = re.compile(r"^ *# <gpu>\n(.*?)^ *# </gpu>\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Workflows:
    """What is filled in."""

    install: str
    pytest_args: str
    directory: str  #: of the project, from the root of its repository
    gpu_runner: str | None
    gpu_backend: str

    def fill(self, template: str) -> str:
        """The workflow of *template*; without a GPU runner its parts for one are left out."""
        text = _GPU.sub(r"\1" if self.gpu_runner else "", template)
        for placeholder, value in (
            ("gpu-runner-label", self.gpu_runner or ""),
            ('"gpu-backend"', self.gpu_backend),
            ("project-directory/", "" if self.directory == "." else f"{self.directory}/"),
            ("project-directory", self.directory),
            (_INSTALL, self.install),
            (f"            {_PYTEST_ARGS}\n", f"            {self.pytest_args}\n"),
            (f"pytest {_PYTEST_ARGS} ", f"pytest {self.pytest_args} "),
        ):
            text = text.replace(placeholder, value)
        return text


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--github", action="store_true", help="add an action and three workflows")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--install",
        type=argument.of(_line),
        default=_INSTALL,
        metavar="COMMAND",
        help=f"installs the project in a workflow (default: {_INSTALL})",
    )
    parser.add_argument(
        "--pytest-args",
        type=argument.of(_line),
        default=_PYTEST_ARGS,
        metavar="ARGUMENTS",
        help=f"selects what is gated (default: {_PYTEST_ARGS})",
    )
    parser.add_argument(
        "--gpu-runner",
        type=argument.of(_label),
        metavar="LABEL",
        help="a self-hosted runner: adds a gate on it",
    )
    parser.add_argument(
        "--gpu-backend",
        type=argument.of(_label),
        default="vllm",
        metavar="NAME",
        help="the backend of that gate (default: vllm)",
    )
    parser.set_defaults(command=_init)


def _line(text: str) -> str:
    if not text.strip() or "\n" in text or "${{" in text:
        raise ValueError("expected one line without ${{ }}")
    return text.strip()


def _label(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise ValueError("expected letters, digits, '.', '_' and '-' alone")
    return text


def _init(parsed: argparse.Namespace) -> int:
    project = top = Path.cwd()
    files = {project / target: _text(source) for source, target in _PROJECT.items()}
    if parsed.github and not parsed.force and (project / "slo.yaml").exists():
        files = {}  # a project that has its scenarios already
        sys.stdout.write("kept: slo.yaml\n")
    if parsed.github:
        top = _top(project)
        workflows = _Workflows(
            install=parsed.install,
            pytest_args=parsed.pytest_args,
            directory=project.relative_to(top).as_posix(),
            gpu_runner=parsed.gpu_runner,
            gpu_backend=parsed.gpu_backend,
        )
        for source, target in _GITHUB.items():
            text = _text(source)
            files[top / target] = workflows.fill(text) if "workflows/" in source else text
    there = [path for path in files if path.exists()]
    if there and not parsed.force:
        names = ", ".join(str(_shown(path)) for path in there)
        raise LlmPerfUsageError(f"{names} would be replaced, and nothing was written; --force replaces.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        sys.stdout.write(f"{'replaced' if path in there else 'written'}: {_shown(path)}\n")
    sys.stdout.write(
        _next(_shown(top / ".github") if parsed.github else None, anew=project / "slo.yaml" in files)
    )
    return 0


def _text(template: str) -> str:
    return _TEMPLATES.joinpath(template).read_text("utf-8")


def _top(directory: Path) -> Path:
    """The root of the repository, where GitHub looks for workflows; *directory* outside of one."""
    command = ["git", "rev-parse", "--show-toplevel"]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    except OSError:
        return directory
    top = Path(done.stdout.strip()) if done.returncode == 0 else directory
    return top if directory.is_relative_to(top) else directory


def _shown(path: Path) -> Path:
    """*path* from here, as it can be typed."""
    return Path(os.path.relpath(path))


def _next(workflows: Path | None, *, anew: bool) -> str:
    what = "measures tests/test_llm.py on the mock" if anew else "measures on the mock"
    commands = [f"pytest                          # {what}", "pytest --save-baseline"]
    if workflows is not None:
        ours = " slo.yaml tests" if anew else ""
        commands.append(f"git add {workflows} .llmperf{ours}   # the next pull request is gated")
    return "\nNext:\n" + "".join(f"  {command}\n" for command in commands)
