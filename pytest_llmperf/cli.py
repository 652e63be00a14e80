"""``llmperf``: the same functions as in pytest, from the command line and from files."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_llmperf.core import gate
from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.quantile import quantile
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.run import Run, Scenario, drift
from pytest_llmperf.core.share import parse_share
from pytest_llmperf.core.terms import Terms
from pytest_llmperf.mock.__main__ import main as serve_mock
from pytest_llmperf.options import STRICT, strict_outcomes
from pytest_llmperf.reports import terminal
from pytest_llmperf.reports.parse import parse
from pytest_llmperf.reports.plain import plain
from pytest_llmperf.reports.write import write
from pytest_llmperf.stores.directory import DirectoryStore
from pytest_llmperf.version import VERSION

_SGR = {"bold": 1, "red": 31, "green": 32, "yellow": 33}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 for a verdict that fails, 2 for what cannot be used."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["mock"]:
        return serve_mock(words[1:])  # which has options of its own
    parsed = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except (LlmPerfUsageError, OSError) as error:
        sys.stderr.write(f"llmperf: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmperf", description="Performance regression gating of LLM systems."
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compare = commands.add_parser("compare", help="judge one run.json against others, as pytest does")
    compare.add_argument("base", nargs="+", type=Path, metavar="BASE.json", help="earlier runs")
    compare.add_argument("head", type=Path, metavar="HEAD.json", help="the run to judge")
    compare.add_argument(
        "--max-regression", type=_share, metavar="SHARE", help="such as 10%% (default: the scenario's)"
    )
    compare.add_argument(
        "--strict",
        type=_strict,
        default=frozenset(),
        metavar="LIST",
        help=f"outcomes that fail too: of {', '.join(STRICT)}, or all",
    )
    _add_reports(compare)
    compare.set_defaults(command=_compare)

    commands.add_parser("mock", help="serve the mock model server; mock --help shows its options")

    report = commands.add_parser("report", help="show a run.json, or write it in other formats")
    report.add_argument("run", type=Path, metavar="RUN.json")
    _add_reports(report)
    report.set_defaults(command=_report)

    baseline = commands.add_parser("baseline", help="look at stored baselines, and thin them out")
    actions = baseline.add_subparsers(required=True, metavar="ACTION")
    for name, command, text in (
        ("list", _baseline_list, "every scenario and environment, a line each"),
        ("show", _baseline_show, "every run of a scenario"),
        ("diff", _baseline_diff, "how the newest run differs from the anchor"),
        ("prune", _baseline_prune, "remove all but the newest runs and the anchor"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument(
            "scenario", nargs="?", default="", help="a part of the scenario's name (default: all)"
        )
        action.add_argument("--baseline", type=Path, default=Path(".llmperf/baselines"), metavar="PATH")
        if name == "prune":
            action.add_argument("--keep", type=int, default=5, metavar="N", help="runs to keep (default: 5)")
        action.set_defaults(command=command)
    return parser


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="[FORMAT=]PATH",
        help="write a report, as pytest --llm-report does; may be given several times",
    )


def _share(text: str) -> float:
    return parse_share(text if "%" in text else float(text))


def _strict(text: str) -> frozenset[Outcome]:
    try:
        return strict_outcomes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _load(path: Path) -> Run:
    return parse(path.read_text("utf-8"), where=str(path))


def _compare(parsed: argparse.Namespace) -> int:
    head = _load(parsed.head)
    bases = [(path, _load(path)) for path in parsed.base]
    effect = _run_effect([run for _, run in bases])
    scenarios = []
    for scenario in head.scenarios:
        slo = scenario.slo
        if parsed.max_regression is not None:
            slo = replace(slo, max_regression=parsed.max_regression)
        history = History(runs=tuple(_stored(bases, scenario)), absent="in none of the earlier runs")
        verdict = judge(scenario.measurement, slo, history, Terms(run_effect=effect))
        scenarios.append(replace(scenario, slo=slo, verdict=verdict))
    run = replace(
        head, scenarios=tuple(scenarios), warnings=tuple(_warnings(head, bases, scenarios)), saved=()
    )
    return _show(run, parsed.report, failing={Outcome.FAILED, Outcome.REGRESSED} | parsed.strict)


def _stored(bases: Sequence[tuple[Path, Run]], scenario: Scenario) -> Iterator[StoredRun]:
    """What the earlier runs say about *scenario*."""
    for path, run in bases:
        for earlier in run.scenarios:
            if earlier.measurement.scenario == scenario.measurement.scenario:
                yield StoredRun(
                    scenario=earlier.measurement.scenario,
                    saved=run.started,
                    label=path.name,
                    facts=earlier.measurement.facts,
                    series=earlier.measurement.series,
                    proportions=earlier.measurement.proportions,
                )


def _run_effect(runs: Sequence[Run]) -> float | None:
    series: dict[str, list[tuple[float, ...]]] = {}
    for run in runs:
        for scenario in run.scenarios:
            if values := scenario.measurement.series.get("latency_s"):
                series.setdefault(scenario.measurement.scenario, []).append(values)
    return gate.run_effect(series.values(), quantile=0.95)


def _warnings(head: Run, bases: Sequence[tuple[Path, Run]], scenarios: Sequence[Scenario]) -> Iterator[str]:
    now = {scenario.measurement.scenario for scenario in head.scenarios}
    then = {scenario.measurement.scenario for _, run in bases for scenario in run.scenarios}
    for missing in sorted(then - now):
        yield f"{missing} was measured before and is missing now"
    if (sentence := drift(scenarios)) is not None:
        yield sentence


def _report(parsed: argparse.Namespace) -> int:
    _show(_load(parsed.run), parsed.report, failing=set())
    return 0


def _show(run: Run, reports: Sequence[str], *, failing: set[Outcome]) -> int:
    """Print *run* as pytest would, write *reports*, and give the exit status."""
    coloured = sys.stdout.isatty()
    for line in terminal.render(run, width=shutil.get_terminal_size().columns, verbosity=0):
        sys.stdout.write("".join(_marked(text, markup) if coloured else text for text, markup in line) + "\n")
    for written in write(run, reports, directory=Path.cwd()):
        sys.stdout.write(f"{written}\n")
    return int(bool(run.problems) or any(scenario.verdict.outcome in failing for scenario in run.scenarios))


def _marked(text: str, markup: object) -> str:
    codes = [str(code) for name, code in _SGR.items() if isinstance(markup, dict) and markup.get(name)]
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text


def _groups(parsed: argparse.Namespace) -> list[tuple[StoredRun, ...]]:
    store = DirectoryStore(parsed.baseline)
    groups = [runs for runs in store.groups() if parsed.scenario in runs[0].scenario]
    if not groups:
        what = f"no scenario with {parsed.scenario!r} in its name" if parsed.scenario else "no baseline"
        raise LlmPerfUsageError(f"{parsed.baseline}: {what}; pytest --save-baseline stores one.")
    for problem in store.problems():
        sys.stderr.write(f"llmperf: {problem}\n")
    return groups


def _baseline_list(parsed: argparse.Namespace) -> int:
    for runs in _groups(parsed):
        samples = sum(len(run.series.get("latency_s", ())) for run in runs)
        facts = ", ".join(runs[0].facts.values())
        sys.stdout.write(
            f"{plain(runs[0].scenario)}  {len(runs)} runs, {samples} samples, newest {runs[-1].saved[:10]} "
            f"({plain(runs[-1].origin)})  {plain(facts)}\n"
        )
    return 0


def _baseline_show(parsed: argparse.Namespace) -> int:
    for runs in _groups(parsed):
        sys.stdout.write(f"{plain(runs[0].scenario)}\n")
        sys.stdout.writelines(f"  {name}: {plain(value)}\n" for name, value in runs[0].facts.items())
        for run in runs:
            numbers = "  ".join(
                f"{name} p95 {show(_p95(values), 's')}" for name, values in sorted(run.series.items())
            )
            anchor = "  anchor" if run.anchor else ""
            sys.stdout.write(f"  {run.saved}  {plain(run.origin)}{anchor}  {numbers}\n")
    return 0


def _baseline_diff(parsed: argparse.Namespace) -> int:
    for runs in _groups(parsed):
        first = next((run for run in runs if run.anchor), runs[0])
        for name, values in sorted(runs[-1].series.items()):
            if first.series.get(name) and values:
                then, now = _p95(first.series[name]), _p95(values)
                what = f"{plain(runs[0].scenario)}  {name.removesuffix('_s')} p95"
                change = f"{100 * (now / then - 1):+.1f} %"
                sys.stdout.write(
                    f"{what} {show(then, 's')} ({plain(first.origin)}) -> "
                    f"{show(now, 's')} ({plain(runs[-1].origin)}), {change}\n"
                )
    return 0


def _baseline_prune(parsed: argparse.Namespace) -> int:
    for path in DirectoryStore(parsed.baseline).prune(parsed.keep, parsed.scenario):
        sys.stdout.write(f"removed {path}\n")
    return 0


def _p95(values: Sequence[float]) -> float:
    return quantile(values, 0.95)
