"""``llmperf github``: what the workflows of `llmperf init --github` call."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from pytest_llmperf.cli import argument
from pytest_llmperf.cli.baseline import DEFAULT
from pytest_llmperf.cli.showing import load
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Run
from pytest_llmperf.github.annotations import annotate, command, unheard
from pytest_llmperf.github.comment import ACTIONS, Upsert, upsert
from pytest_llmperf.github.context import Context
from pytest_llmperf.github.git import top_of
from pytest_llmperf.github.measure import OnUnproven, Wanted, measure
from pytest_llmperf.github.page import gpu_gate_skipped, page
from pytest_llmperf.github.propose import propose
from pytest_llmperf.options import STRICT

_STRICT = "no_baseline,not_comparable"


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's actions and their arguments. An empty argument is one that was not given."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    measuring = actions.add_parser("measure", help="run pytest against the baseline of the base")
    measuring.add_argument("--backend", default="", metavar="NAME", help="as pytest --llm-backend")
    measuring.add_argument("--url", default="", metavar="URL", help="as pytest --llm-url")
    measuring.add_argument("--pytest-args", default="-m llm_slo", metavar="ARGUMENTS", help="in one string")
    measuring.add_argument("--baseline", type=Path, default=DEFAULT, metavar="PATH", help="the committed one")
    measuring.add_argument(
        "--baseline-artifact",
        default="",
        metavar="NAME",
        help="take the base branch's newest artifact instead",
    )
    measuring.set_defaults(command=_measure)

    reporting = actions.add_parser("report", help="summary, annotations, outputs, and the exit status")
    reporting.add_argument("--status", type=int, required=True, metavar="N", help="pytest's exit status")
    reporting.add_argument("--artifact-url", default="", metavar="URL", help="where the reports were put")
    reporting.add_argument(
        "--expected-backend", default="", metavar="NAME", help="of the GPU gate; another one is said"
    )
    reporting.set_defaults(command=_report)
    for action in (measuring, reporting):
        action.add_argument(
            "--strict",
            default=_STRICT,
            metavar="LIST",
            help=f"outcomes that fail too, of {', '.join(STRICT)} (default: {_STRICT})",
        )
        action.add_argument(
            "--reports", type=Path, default=Path("llm-gate"), metavar="PATH", help="folder of the reports"
        )
        action.add_argument(
            "--on-unproven",
            type=argument.of(_on_unproven),
            default=OnUnproven.WARN,
            metavar="WHAT",
            help="warn (default), fail, or rerun-ab: measure again in turns with the base revision",
        )

    commenting = actions.add_parser("comment", help="comment on the pull request of a finished run")
    commenting.add_argument("--artifact", default="llm-gate", metavar="NAME", help="that holds run.json")
    commenting.add_argument(
        "--expected-backend", default="", metavar="NAME", help="of the GPU gate; another one is said"
    )
    commenting.add_argument(
        "--author", default=ACTIONS, metavar="LOGIN", help=f"whose comment is replaced (default: {ACTIONS})"
    )
    commenting.set_defaults(command=_comment)

    proposing = actions.add_parser("propose", help="open a pull request with the refreshed baseline")
    proposing.add_argument("--baseline", type=Path, default=DEFAULT, metavar="PATH")
    proposing.add_argument("--branch", default="llm-baseline", metavar="NAME", help="(default: llm-baseline)")
    proposing.set_defaults(command=_propose)


def _on_unproven(text: str) -> OnUnproven:
    if text not in set(OnUnproven):
        raise ValueError(f"expected one of {', '.join(OnUnproven)}")
    return OnUnproven(text)


def _context() -> Context:
    return Context.read(os.environ)


def _measure(parsed: argparse.Namespace) -> int:
    """Ends with 0 whatever pytest said: the reports are kept first, then `report` gives the status."""
    context = _context()
    _strictly(parsed)
    wanted = Wanted(
        pytest_args=parsed.pytest_args,
        backend=parsed.backend,
        url=parsed.url,
        baseline=parsed.baseline,
        baseline_artifact=parsed.baseline_artifact,
        on_unproven=parsed.on_unproven,
        strict=parsed.strict,
        reports=parsed.reports,
    )
    # What a model says is printed by pytest, and must not command the runner.
    start, end = unheard([], secrets.token_hex(16))
    sys.stdout.write(f"{start}\n")
    sys.stdout.flush()
    try:
        status = measure(context, wanted, directory=Path.cwd())
    finally:
        sys.stdout.write(f"{end}\n")
    context.say("status", str(status))
    return 0


def _report(parsed: argparse.Namespace) -> int:
    context, strict = _context(), _strictly(parsed)
    file = parsed.reports / "run.json"
    run = load(file) if file.exists() else _nothing(parsed.status)
    top = top_of(context, Path.cwd())
    directory = top / run.environment.get("directory", "")
    lines, left = annotate(run, strict=strict, directory=directory, workspace=context.workspace)
    if skipped := gpu_gate_skipped(run, parsed.expected_backend):
        lines.append(command("notice", skipped, title="GPU gate skipped"))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    context.summarise(
        page(
            run,
            run_url=context.run_url,
            artifact_url=parsed.artifact_url,
            expected_backend=parsed.expected_backend,
            left=left,
        )
    )
    context.say("outcome", run.outcome.value)
    html = parsed.reports / "report.html"
    context.say("report", str(html) if html.exists() else "")
    return int(parsed.status)


def _nothing(status: int) -> Run:
    return Run(started="", problems=(f"nothing was measured: pytest exited with {status}, see the log",))


def _strictly(parsed: argparse.Namespace) -> frozenset[Outcome]:
    try:
        return Wanted(strict=parsed.strict, on_unproven=parsed.on_unproven).strictly
    except ValueError as error:
        raise LlmPerfUsageError(f"--strict: {error}.") from None


def _comment(parsed: argparse.Namespace) -> int:
    wanted = Upsert(artifact=parsed.artifact, expected_backend=parsed.expected_backend, author=parsed.author)
    sys.stdout.write(f"{upsert(_context(), wanted)}\n")
    return 0


def _propose(parsed: argparse.Namespace) -> int:
    sys.stdout.write(f"{propose(_context(), parsed.baseline, branch=parsed.branch, directory=Path.cwd())}\n")
    return 0
