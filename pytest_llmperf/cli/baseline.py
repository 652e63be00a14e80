"""``llmperf baseline``: look at stored baselines, and thin them out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmperf.cli import argument
from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantile import quantile
from pytest_llmperf.core.quantity import show
from pytest_llmperf.option_specs import whole
from pytest_llmperf.stores.directory import DirectoryStore

DEFAULT = Path(".llmperf/baselines")


def declare(parser: argparse.ArgumentParser) -> None:
    """The command's actions and their arguments."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, command, text in (
        ("list", _list, "every scenario and environment, a line each"),
        ("show", _show, "every run of a scenario"),
        ("diff", _diff, "how the newest run differs from the anchor"),
        ("prune", _prune, "remove all but the newest runs and the anchor"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument(
            "scenario", nargs="?", default="", help="a part of the scenario's name (default: all)"
        )
        action.add_argument("--baseline", type=Path, default=DEFAULT, metavar="PATH")
        if name == "prune":
            action.add_argument(
                "--keep",
                type=argument.of(whole(0)),
                default=5,
                metavar="N",
                help="runs to keep (default: 5)",
            )
        action.set_defaults(command=command)


def groups(root: Path, part: str = "") -> list[tuple[StoredRun, ...]]:
    """The runs of every scenario with *part* in its name, by environment.

    Raises LlmPerfUsageError when there is none; a file that cannot be read is said to standard error.
    """
    store = DirectoryStore(root)
    for problem in store.problems():
        sys.stderr.write(f"llmperf: {problem}\n")
    found = [runs for runs in store.groups() if part in runs[0].scenario]
    if not found:
        what = f"no scenario with {part!r} in its name" if part else "no baseline that can be read"
        raise LlmPerfUsageError(f"{root}: {what}; pytest --save-baseline stores one.")
    return found


def _list(parsed: argparse.Namespace) -> int:
    for runs in groups(parsed.baseline, parsed.scenario):
        samples = sum(len(run.series.get("latency_s", ())) for run in runs)
        facts = ", ".join(f"{name} {value}" for name, value in runs[0].facts.items())
        count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
        sys.stdout.write(
            f"{plain(runs[0].scenario)}  {count}, {samples} samples, newest {runs[-1].saved[:10]} "
            f"({plain(runs[-1].origin)})  {plain(facts)}\n"
        )
    return 0


def _show(parsed: argparse.Namespace) -> int:
    for runs in groups(parsed.baseline, parsed.scenario):
        sys.stdout.write(f"{plain(runs[0].scenario)}\n")
        sys.stdout.writelines(f"  {name}: {plain(value)}\n" for name, value in runs[0].facts.items())
        for run in runs:
            numbers = ", ".join(
                f"{_called(name)} {_shown(name, _p95(values))}" for name, values in sorted(run.series.items())
            )
            anchor = "  anchor" if run.anchor else ""
            sys.stdout.write(f"  {run.saved}  {plain(run.origin)}{anchor}  p95: {numbers}\n")
    return 0


def _diff(parsed: argparse.Namespace) -> int:
    for runs in groups(parsed.baseline, parsed.scenario):
        if len(runs) == 1:
            sys.stdout.write(f"{plain(runs[0].scenario)}  one run, which nothing differs from yet\n")
            continue
        first = next((run for run in runs if run.anchor), runs[0])
        for name, values in sorted(runs[-1].series.items()):
            if first.series.get(name) and values:
                then, now = _p95(first.series[name]), _p95(values)
                what = f"{plain(runs[0].scenario)}  {_called(name)} p95"
                change = f", {100 * (now / then - 1):+.1f} %" if then else ""
                sys.stdout.write(
                    f"{what} {_shown(name, then)} ({plain(first.origin)}) -> "
                    f"{_shown(name, now)} ({plain(runs[-1].origin)}){change}\n"
                )
    return 0


def _prune(parsed: argparse.Namespace) -> int:
    for path in DirectoryStore(parsed.baseline).prune(parsed.keep, parsed.scenario):
        sys.stdout.write(f"removed {path}\n")
    return 0


def _called(name: str) -> str:
    """A series as people name it: ``ttft``, ``input tokens``."""
    return plain(name.removesuffix("_s").replace("_", " "))


def _shown(name: str, value: float) -> str:
    """A value of the series *name* in its unit: a time, a share or a count."""
    if name.endswith("_s"):
        return show(value, "s")
    return show(value, "") if name == "cached_share" else f"{value:g}"


def _p95(values: Sequence[float]) -> float:
    return quantile(values, 0.95)
