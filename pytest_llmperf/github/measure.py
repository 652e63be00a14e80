"""The gate's run of pytest in a workflow, and the second run of what it could not decide."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.run import Run
from pytest_llmperf.github.base import restore_artifact, restore_committed
from pytest_llmperf.github.context import Context
from pytest_llmperf.github.git import has
from pytest_llmperf.options import strict_outcomes
from pytest_llmperf.reports.parse import parse
from pytest_llmperf.reports.write import write

#: What a second run, interleaved with the base, may settle.
UNDECIDED = frozenset({Outcome.UNPROVEN, Outcome.INCONCLUSIVE})

#: Verdicts of the second run that say nothing: the first ones stay.
_UNTOLD = frozenset({Outcome.SKIPPED, Outcome.NOT_COMPARABLE, Outcome.NO_BASELINE})

#: The variable that tells `only` which scenarios to leave: ids, or names of pooled ones, a line each.
ONLY = "LLMPERF_ONLY"

#: pytest's exit status when it is itself to blame.
_BROKE = 3

_REPORTS = ("run.json", "report.html", "report.md")


class OnUnproven(StrEnum):
    """What to do about a scenario whose p95 is past the limit without proof."""

    WARN = "warn"
    FAIL = "fail"
    RERUN_AB = "rerun-ab"  #: measure it again, in turns with the base revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The action's inputs."""

    pytest_args: str = "-m llm_slo"
    backend: str = ""
    url: str = ""
    baseline: Path = Path(".llmperf/baselines")
    baseline_artifact: str = ""
    on_unproven: OnUnproven = OnUnproven.WARN
    strict: str = ""
    reports: Path = Path("llm-gate")  #: the folder of run.json, report.html and report.md

    @property
    def strictly(self) -> frozenset[Outcome]:
        """The outcomes that fail besides failed and regressed. Raises ValueError."""
        more = {Outcome.UNPROVEN} if self.on_unproven is OnUnproven.FAIL else set()
        return strict_outcomes(self.strict) | more


def measure(context: Context, wanted: Wanted, *, directory: Path) -> int:
    """Run pytest in *directory* against the baseline of the base, and write the reports: its exit status.

    Raises LlmPerfUsageError for inputs that cannot be used, and when the baseline cannot be restored.
    """
    folder = directory / wanted.reports
    shutil.rmtree(folder, ignore_errors=True)
    again = wanted.on_unproven is OnUnproven.RERUN_AB and context.base_commit is not None
    # What a second run will decide must not fail the first.
    strict = wanted.strictly - (UNDECIDED if again else set())
    status = _pytest(
        [
            *_common(wanted),
            *_baseline(context, wanted, directory),
            f"--llm-strict={','.join(sorted(strict))}",
            *(f"--llm-report={wanted.reports / name}" for name in _REPORTS),
        ],
        directory,
    )
    file = folder / "run.json"
    if not again or status not in {0, 1} or not file.exists():
        return status
    run = parse(file.read_text("utf-8"), where=str(file))
    if not any(scenario.verdict.outcome in UNDECIDED for scenario in run.scenarios):
        return status
    run, second = _again(context, wanted, run, directory)
    try:
        write(run, [str(wanted.reports / name) for name in _REPORTS], directory=directory)
    except LlmPerfUsageError as error:
        _say(str(error))
        second = _BROKE
    late = wanted.strictly & UNDECIDED
    return max(status, second, int(any(one.verdict.outcome in late for one in run.scenarios)))


def _common(wanted: Wanted) -> list[str]:
    try:
        words = shlex.split(wanted.pytest_args)
    except ValueError as error:
        raise LlmPerfUsageError(f"--pytest-args {wanted.pytest_args!r}: {error}") from None
    server = {"backend": wanted.backend, "url": wanted.url}
    return [*words, *(f"--llm-{name}={value}" for name, value in server.items() if value)]


def _baseline(context: Context, wanted: Wanted, directory: Path) -> list[str]:
    """The option that names the baseline of the base."""
    into = directory / ".llmperf" / "base"
    if wanted.baseline_artifact:
        shutil.rmtree(into, ignore_errors=True)
        _say(restore_artifact(context, wanted.baseline_artifact, into=into))
        return [f"--llm-baseline={into}"]
    if context.base_commit is not None:
        shutil.rmtree(into, ignore_errors=True)
        _say(restore_committed(context, wanted.baseline, into=into, directory=directory))
        return [f"--llm-baseline={into}"]
    return [f"--llm-baseline={wanted.baseline}"] if (directory / wanted.baseline).exists() else []


def _again(context: Context, wanted: Wanted, run: Run, directory: Path) -> tuple[Run, int]:
    """*run* with its undecided scenarios measured in turns with the base: and 1 where that broke one."""
    names = [one.measurement.scenario for one in run.scenarios if one.verdict.outcome in UNDECIDED]
    commit = context.base_commit or ""
    file = wanted.reports / "ab" / "run.json"
    _say(f"{len(names)} undecided: measuring again in turns with the base {commit[:7]}")
    if not has(context, commit, directory):
        return _warned(run, f"the base {commit[:7]} cannot be fetched: nothing was measured again"), 0
    status = _pytest(
        [
            *_common(wanted),
            "-p",
            "pytest_llmperf.only",
            f"--llm-ab=git:{commit}",
            f"--llm-report={file}",
        ],
        directory,
        {ONLY: "\n".join(names)},
    )
    if status not in {0, 1} or not (directory / file).exists():
        return _warned(run, f"undecided scenarios could not be measured again (pytest exit {status})"), 0
    second = parse((directory / file).read_text("utf-8"), where=str(file))
    found = {one.measurement.scenario: one for one in second.scenarios if one.verdict.outcome not in _UNTOLD}
    scenarios = tuple(found.get(one.measurement.scenario, one) for one in run.scenarios)
    run = replace(run, scenarios=scenarios)
    if found:
        told = f"measured again in turns with {commit[:7]}, for a stored baseline could not decide"
        run = _warned(run, f"{told}: {', '.join(found)}")
    if left := [name for name in names if name not in found]:
        run = _warned(run, f"not comparable with {commit[:7]}, and left undecided: {', '.join(left)}")
    broken = any(one.verdict.outcome in BROKEN for one in found.values())
    return run, int(broken)


def _warned(run: Run, text: str) -> Run:
    return replace(run, warnings=(*run.warnings, text))


def _pytest(arguments: Sequence[str], directory: Path, more: Mapping[str, str] | None = None) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    _say(f"$ {shlex.join(['pytest', *arguments])}")
    return subprocess.run(command, cwd=directory, env={**os.environ, **(more or {})}, check=False).returncode  # noqa: S603 - pytest


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
