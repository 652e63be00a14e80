"""run.json: everything about a run, for other programs; described by schemas/run.schema.json."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final, NamedTuple

from pytest_llmperf.core.contest import Contest, contest
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.metric import METRICS, STEP, Shape, series_name
from pytest_llmperf.core.plain import UNSAFE
from pytest_llmperf.core.resources import Resources
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.server_plain import to_plain
from pytest_llmperf.core.slo import Limit, Slo
from pytest_llmperf.core.steps import names_in
from pytest_llmperf.core.verdict import Check
from pytest_llmperf.core.versus import versus
from pytest_llmperf.core.yardsticks import Yardsticks
from pytest_llmperf.reports import connection_notes, cost_section, load

SCHEMA = "pytest-llmperf/run/1"

#: Samples that become text at once.
_AT_ONCE: Final = 4096

#: Of what the run was compared with, the times that the pages show beside those of now.
_COMPARED = frozenset(series_name(name) for name, metric in METRICS.items() if metric.shape is Shape.TIME)


def render(run: Run) -> str:
    """*run* as JSON text that ends with a newline: a list of numbers takes one line.

    Times are in seconds, rounded to nanoseconds. What is not a finite number is null.
    """
    return "".join(pieces(run))


def pieces(run: Run) -> Iterator[str]:
    """The same text piece by piece: that of a million samples is never in memory as a whole."""
    document = {
        "schema": SCHEMA,
        "outcome": run.outcome.value,
        "started": run.started,
        "environment": dict(run.environment),
        "problems": list(run.problems),
        "warnings": list(run.warnings),
        "saved": list(run.saved),
        "yardsticks": _yardsticks(run.yardsticks),
        "comparison": _comparison(contest(run)),
        "versus": [dataclasses.asdict(one) for one in versus(run)],
        "scenarios": [_scenario(scenario) for scenario in run.scenarios],
    }
    yield from _text(document, "")
    yield "\n"


def _yardsticks(yardsticks: Yardsticks) -> dict[str, object]:
    return {
        "weights": dict(yardsticks.weights),
        "keep_small": [_limit(limit) for limit in yardsticks.keep_small],
        "references": [
            {
                "name": reference.name,
                "source": reference.source,
                "figures": [_limit(figure) for figure in reference.figures],
            }
            for reference in yardsticks.references
        ],
    }


def _comparison(compared: Contest | None) -> dict[str, object] | None:
    if compared is None:
        return None
    return {
        "setups": list(compared.setups),
        "rows": [
            {
                "subject": row.subject,
                "setup": entry.setup,
                "outcome": entry.outcome.value,
                "values": dict(entry.values),
                "best": sorted(entry.best),
            }
            for row in compared.rows
            for entry in row.entries
        ],
        "weights": dict(compared.weights),
        "scores": dict(compared.scores),
        "broken": {setup: list(names) for setup, names in compared.broken.items()},
        "winner": compared.winner,
        "recommendation": compared.recommendation,
    }


def _scenario(scenario: Scenario) -> dict[str, object]:
    measured, verdict = scenario.measurement, scenario.verdict
    return {
        "id": measured.scenario,
        "name": measured.name,
        "path": measured.path,
        "line": measured.line,
        "backend": measured.backend,
        "model": measured.model,
        "setup": measured.setup,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "explanation": scenario.explanation,
        "settled": verdict.settled,
        "warnings": list(verdict.warnings),
        "slo": _slo(scenario.slo),
        "checks": [_check(check) for check in verdict.checks],
        "requests": {
            "sent": measured.sent,
            "failed": measured.failed,
            "failures": [
                {"kind": failure.kind, "count": failure.count, "example": failure.example}
                for failure in measured.failures
            ],
        },
        "tokens": {
            "input": measured.tokens.input,
            "output": measured.tokens.output,
            "cached": measured.tokens.cached,
            "reasoning": measured.tokens.reasoning,
            "sources": [source.value for source in measured.tokens.sources],
        },
        "text": {
            "characters": measured.characters,
            "characters_per_s": measured.characters / measured.busy_s if measured.busy_s else None,
            "same_read": {
                "successes": measured.same_read.successes,
                "trials": measured.same_read.trials,
            },
        },
        "cost": cost_section.values(measured),
        "cache": {**asdict(measured.cache), "savings": [asdict(saving) for saving in scenario.savings]},
        "connections": connection_notes.as_object(measured.connections),
        "server": to_plain(measured.server),
        **_measured(measured),
        "resources": _resources(measured.resources),
        **({} if measured.load is None else {"load": load.as_object(measured.load)}),
        "series": {name: _Samples(name, values) for name, values in measured.series.items()},
        "compared_with": [
            {
                "origin": run.origin,
                "series": {name: _Samples(name, run.series[name]) for name in _kept(run.series)},
                "facts": dict(run.facts),
                "server": to_plain(run.server),
            }
            for run in scenario.compared_with
        ],
    }


def _kept(series: Mapping[str, Sequence[float]]) -> list[str]:
    steps = {series_name(STEP + name) for name in names_in(series)}
    return [name for name in series if name in _COMPARED | steps]


def _slo(slo: Slo) -> dict[str, object]:
    # The cases are left out: they may be whole documents, and no reader needs them.
    return {
        "limits": [_limit(limit) for limit in slo.limits],
        "accuracy": dict(slo.accuracy),
        "steps": {
            name: [
                {"key": limit.key, "statistic": limit.statistic, "bound": _number(limit.bound)}
                for limit in limits
            ]
            for name, limits in slo.steps
        },
        "gate": list(slo.gate),
        "max_regression": slo.max_regression,
        "scenario": slo.scenario,
        "role": slo.role,
        "cache": slo.cache.value,
        "max_cost_usd": slo.max_cost_usd,
        "iterations": slo.iterations,
        "warmup": slo.warmup,
        "max_iterations": slo.max_iterations,
    }


def _limit(limit: Limit) -> dict[str, object]:
    return {
        "key": limit.key,
        "metric": limit.metric,
        "statistic": limit.statistic,
        "bound": _number(limit.bound),
    }


def _check(check: Check) -> dict[str, object]:
    return {
        "metric": check.metric,
        "statistic": check.statistic,
        "kind": check.kind.value,
        "unit": check.unit,
        "limit": _number(check.limit),
        "observed": _number(check.observed),
        "low": _number(check.low),
        "high": _number(check.high),
        "n": check.n,
        "baseline": _number(check.baseline),
        "ratio": _number(check.ratio),
        "outcome": check.outcome.value,
        "reason": check.reason,
        "more": check.more,
    }


def _measured(measured: Measurement) -> dict[str, object]:
    return {
        "iterations": measured.iterations,
        "warmup": measured.warmup,
        "warmup_latency_s": _Samples("warmup_latency_s", measured.warmup_latency_s),
        "stopped": measured.stopped,
        "notes": list(measured.warnings),
        "facts": dict(measured.facts),
        "busy_s": measured.busy_s,
        "wall_s": measured.wall_s,
        "throughput": {name: _number(value) for name, value in measured.throughput.items()},
        "proportions": {
            name: {"successes": count.successes, "trials": count.trials}
            for name, count in measured.proportions.items()
        },
        "json_failed": measured.json_failed,
        "timed": measured.timed,
        "steps": list(measured.steps),
        "excused": dict(measured.excused),
        "named_checks": [
            {
                "name": check.name,
                "label": check.label,
                "successes": check.count.successes,
                "trials": check.count.trials,
            }
            for check in measured.checks
        ],
    }


def _resources(used: Resources) -> dict[str, object]:
    return {
        "seconds": round(used.seconds, 3),
        "usage": {
            name: {"mean": round(one.mean, 3), "peak": round(one.peak, 3), "n": one.n}
            for name, one in used.usage.items()
        },
        "missing": dict(used.missing),
        "notes": list(used.notes),
        "at_s": [round(at, 3) for at in used.at_s],
        "line": {
            name: [None if point is None else round(point, 3) for point in points]
            for name, points in used.line.items()
        },
    }


class _Samples(NamedTuple):
    """A series, of which a part at a time becomes text."""

    name: str
    values: Sequence[float]

    def text(self) -> Iterator[str]:
        yield "["
        for start in range(0, len(self.values), _AT_ONCE):
            part = [self._shown(value) for value in self.values[start : start + _AT_ONCE]]
            yield f"{', ' if start else ''}{_line(part)[1:-1]}"
        yield "]"

    def _shown(self, value: float) -> float:
        if self.name.endswith("_s"):
            return round(value, 9)
        return int(value) if self.name.endswith("_tokens") and value == int(value) else value


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _text(value: object, indent: str) -> Iterator[str]:
    """JSON in which only what holds something other than plain values is spread over lines."""
    inner = indent + "  "
    if isinstance(value, _Samples):
        yield from value.text()
    elif isinstance(value, Mapping) and value:
        for index, (key, item) in enumerate(value.items()):
            yield f"{',' if index else '{'}\n{inner}{_line(str(key))}: "
            yield from _text(item, inner)
        yield f"\n{indent}}}"
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        for index, item in enumerate(value):
            yield f"{',' if index else '['}\n{inner}"
            yield from _text(item, inner)
        yield f"\n{indent}]"
    else:
        yield _line(value)


def _line(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)
