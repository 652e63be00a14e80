"""``llmperf suggest-slo``: limits from what was measured, as text for slo.yaml."""

from __future__ import annotations

import argparse
import glob
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmperf.cli import argument
from pytest_llmperf.cli.baseline import DEFAULT, groups
from pytest_llmperf.cli.showing import load
from pytest_llmperf.core import gate
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.measurement import Count
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.proportion import wilson
from pytest_llmperf.core.quantile import quantile
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.share import parse_share, typed

_TIMES = {"p95_ms": "latency_s", "ttft_p95_ms": "ttft_s"}
_RATES = ("json_valid", "pass_rate", "success_rate")

#: How many times the noise between runs the margin is at least: of two runs that differ in nothing, the
#: later is that much slower once in a thousand times.
_NOISE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One run of one scenario."""

    series: Mapping[str, Sequence[float]]
    proportions: Mapping[str, Count]


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN.json", help="runs to go by (default: the stored baseline)"
    )
    parser.add_argument("--baseline", type=Path, default=DEFAULT, metavar="PATH")
    parser.add_argument(
        "--margin",
        type=argument.of(_margin),
        default=0.2,
        metavar="SHARE",
        help="room above what was measured (default: 20%%, and never less than the noise between runs)",
    )
    parser.set_defaults(command=_suggest)


def _margin(text: str) -> float:
    share = parse_share(typed(text))
    if not 0 <= share < math.inf:
        raise ValueError("out of range; expected a share from 0, such as 20%")
    return share


def _suggest(parsed: argparse.Namespace) -> int:
    measured = _from_runs(parsed.runs) if parsed.runs else _from_baseline(parsed.baseline)
    noise = gate.run_effect(
        [
            [run.series["latency_s"] for run in runs if run.series.get("latency_s")]
            for runs in measured.values()
        ],
        quantile=0.95,
    )
    margin = max(parsed.margin, math.exp(_NOISE * noise) - 1 if noise else 0.0)
    room = f"{100 * margin:.0f} % more{_because(margin, parsed.margin)}"
    lines = [
        f"# Limits are what was measured and {room}, rounded up.",
        "version: 1",
        *_scenarios(measured, margin),
    ]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _because(margin: float, asked: float) -> str:
    return f" ({_NOISE:.0f} times the noise between stored runs)" if margin > asked else ""


def _from_runs(paths: Sequence[Path]) -> dict[str, list[_Measured]]:
    found: dict[str, list[_Measured]] = {}
    for path in paths:
        for scenario in load(path).scenarios:
            about = scenario.measurement
            run = _Measured(series=about.series, proportions=about.proportions)
            found.setdefault(about.scenario, []).append(run)
    return found


def _from_baseline(root: Path) -> dict[str, list[_Measured]]:
    """Of a scenario with several environments the one that was measured last."""
    newest = sorted(groups(root), key=lambda runs: runs[-1].saved)
    return {
        runs[0].scenario: [_Measured(series=run.series, proportions=run.proportions) for run in runs]
        for runs in newest
    }


def _scenarios(measured: Mapping[str, Sequence[_Measured]], margin: float) -> Iterator[str]:
    limits = {scenario: list(_limits(runs, margin)) for scenario, runs in sorted(measured.items())}
    if not any(limits.values()):
        raise LlmPerfUsageError("no scenario with a successful request to go by.")
    yield "scenarios:"
    pooled = {scenario for scenario in limits if "::" not in scenario}
    if pooled == set(limits):
        yield "  {}"
    for scenario, lines in limits.items():
        if not lines:
            continue
        # A pattern: the brackets of a parametrised test stand for themselves.
        pattern = json.dumps(glob.escape(scenario), ensure_ascii=False)
        if scenario in pooled:
            yield f"  # {plain(scenario)} is a pool; these belong into the @llm_slo of its tests:"
        else:
            yield f"  {pattern}:"
        yield from (f"  #   {line}" if scenario in pooled else f"    {line}" for line in lines)


def _limits(runs: Sequence[_Measured], margin: float) -> Iterator[str]:
    for key, name in _TIMES.items():
        series = [run.series[name] for run in runs if run.series.get(name)]
        if series:
            highest = max(quantile(values, 0.95) for values in series)
            count = sum(len(values) for values in series)
            told = f"{show(highest, 's')} in {_runs(len(series))} (n={count})"
            yield f"{key}: {_up(1000 * highest * (1 + margin)):g}  # {told}"
    for key in _RATES:
        counts = [run.proportions[key] for run in runs if key in run.proportions]
        total = sum(counts, Count())
        if total.trials and total.successes < total.trials:
            low, _ = wilson(total.successes, total.trials)
            told = f"{total.successes} of {total.trials}, and its 95 % interval's lower end"
            yield f"{key}: {math.floor(100 * low) / 100:g}  # {told}"


def _runs(count: int) -> str:
    return "one run" if count == 1 else f"the slowest of {count} runs"


def _up(value: float) -> float:
    """*value* rounded up to two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit
