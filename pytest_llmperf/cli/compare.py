"""``llmperf compare``: judge one run.json against others, as pytest does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_llmperf.cli import argument
from pytest_llmperf.cli.showing import add_reports, load, show, targets
from pytest_llmperf.core import gate
from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.breakdown import explanation
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.outcome import BROKEN
from pytest_llmperf.core.run import Run, Scenario, drift
from pytest_llmperf.core.terms import Terms
from pytest_llmperf.option_specs import regression
from pytest_llmperf.options import STRICT, strict_outcomes


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("base", nargs="+", type=Path, metavar="BASE.json", help="earlier runs")
    parser.add_argument("head", type=Path, metavar="HEAD.json", help="the run to judge")
    parser.add_argument(
        "--max-regression",
        type=argument.of(regression),
        metavar="SHARE",
        help="such as 10%% (default: the scenario's)",
    )
    parser.add_argument(
        "--strict",
        type=argument.of(strict_outcomes),
        default=frozenset(),
        metavar="LIST",
        help=f"outcomes that fail too: of {', '.join(STRICT)}, or all",
    )
    add_reports(parser, "comparison")
    parser.set_defaults(command=_compare)


def _compare(parsed: argparse.Namespace) -> int:
    head = load(parsed.head)
    bases = [(path, load(path)) for path in parsed.base]
    effect = _run_effect([run for _, run in bases])
    scenarios = []
    for scenario in head.scenarios:
        slo = scenario.slo
        if parsed.max_regression is not None:
            slo = replace(slo, max_regression=parsed.max_regression)
        history = History(runs=tuple(_stored(bases, scenario)), absent="in none of the earlier runs")
        verdict = judge(scenario.measurement, slo, history, Terms(run_effect=effect))
        stored = history.comparable(scenario.measurement)
        judged = replace(scenario, slo=slo, verdict=verdict, base=None, stored=stored)
        scenarios.append(replace(judged, explanation=explanation(judged)))
    run = replace(
        head, scenarios=tuple(scenarios), warnings=tuple(_warnings(head, bases, scenarios)), saved=()
    )
    failing = BROKEN | parsed.strict
    return show(run, targets(parsed, "comparison"), failing=failing)


def _stored(bases: Sequence[tuple[Path, Run]], scenario: Scenario) -> Iterator[StoredRun]:
    """What the earlier runs say about *scenario*."""
    for path, run in bases:
        for earlier in run.scenarios:
            if earlier.measurement.scenario == scenario.measurement.scenario:
                yield StoredRun.of(earlier.measurement, label=path.name, saved=run.started)


def _run_effect(runs: Sequence[Run]) -> float | None:
    series: dict[str, list[Sequence[float]]] = {}
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
