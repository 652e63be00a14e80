"""A run read back from run.json, for ``llmperf report`` and ``llmperf compare``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jsonschema

from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.cache import CacheMode, CacheUse
from pytest_llmperf.core.cache_saving import Saving
from pytest_llmperf.core.column import Column
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import TokenSource
from pytest_llmperf.core.measurement import CheckCount, Count, FailureCount, Measurement, TokenTotals
from pytest_llmperf.core.metric import KEYS
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.resources import Resources, Usage
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.server_plain import from_plain
from pytest_llmperf.core.slo import Limit, Slo
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict
from pytest_llmperf.core.yardsticks import Reference, Yardsticks
from pytest_llmperf.reports import connection_notes, load
from pytest_llmperf.reports.json import SCHEMA

#: As the JSON reader gives it, checked against the schema.
_Object = Mapping[str, Any]


def parse(text: str, *, where: str = "run.json") -> Run:
    """The run in *text*; what the schema does not require may be absent.

    *where* names the file in errors. Raises LlmPerfUsageError when the text is not such a report,
    or one of a newer version.
    """
    document = _checked(text, where)
    return Run(
        started=document.get("started", ""),
        environment=document["environment"],
        scenarios=tuple(_scenario(scenario) for scenario in document["scenarios"]),
        problems=tuple(document.get("problems", ())),
        warnings=tuple(document.get("warnings", ())),
        saved=tuple(document.get("saved", ())),
        yardsticks=_yardsticks(document["yardsticks"]) if "yardsticks" in document else Yardsticks(),
    )


def schema() -> dict[str, Any]:
    """The JSON Schema of run.json."""
    file = resources.files("pytest_llmperf") / "schemas" / "run.schema.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def _checked(text: str, where: str) -> _Object:
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise LlmPerfUsageError(
            f"{where} is not JSON: {error}; expected what pytest --llm-report=run.json writes."
        ) from None
    written = document.get("schema") if isinstance(document, dict) else None
    if written != SCHEMA:
        raise LlmPerfUsageError(_other(written, where))
    validator = jsonschema.Draft202012Validator(schema())
    if wrong := jsonschema.exceptions.best_match(validator.iter_errors(document)):
        raise LlmPerfUsageError(f"{where}: {wrong.json_path}: {wrong.message[:200]}")
    return document  # type: ignore[no-any-return]  # an object, says the schema


def _other(written: object, where: str) -> str:
    name = SCHEMA.rpartition("/")[0]
    if isinstance(written, str) and written.startswith(f"{name}/"):
        return (
            f"{where} has the schema {written!r}, this version reads {SCHEMA!r}: "
            "use the version of pytest-llmperf that wrote it, or a newer one"
        )
    return (
        f'{where} is not a report of pytest-llmperf: it has no "schema": "{SCHEMA}"; '
        "pytest --llm-report run.json writes one"
    )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _yardsticks(written: _Object) -> Yardsticks:
    return Yardsticks(
        weights=written["weights"],
        keep_small=tuple(map(_limit, written["keep_small"])),
        references=tuple(
            Reference(
                name=reference["name"],
                source=reference["source"],
                figures=tuple(map(_limit, reference["figures"])),
            )
            for reference in written["references"]
        ),
    )


def _scenario(scenario: _Object) -> Scenario:
    return Scenario(
        measurement=_measurement(scenario),
        slo=_slo(scenario),
        verdict=Verdict(
            outcome=Outcome(scenario["outcome"]),
            reason=scenario.get("reason") or _reason(scenario),
            checks=tuple(_check(check) for check in scenario["checks"]),
            settled=scenario.get("settled", True),
            warnings=tuple(scenario.get("warnings", ())),
        ),
        explanation=scenario.get("explanation"),
        savings=tuple(Saving(**saving) for saving in scenario.get("cache", {}).get("savings", ())),
        stored=tuple(_stored(scenario["id"], run) for run in scenario.get("compared_with", ())),
    )


def _cache(cache: _Object) -> CacheUse:
    return CacheUse(**{name: count for name, count in cache.items() if name != "savings"})


def _stored(scenario: str, run: _Object) -> StoredRun:
    series = {name: Column(values) for name, values in run["series"].items()}
    return StoredRun(
        scenario=scenario,
        saved="",
        label=run["origin"],
        facts=run.get("facts", {}),
        series=series,
        server=from_plain(run.get("server")),
    )


def _reason(scenario: _Object) -> str:
    """Where no sentence was written: those of the worst checks."""
    return " · ".join(
        check["reason"] for check in scenario["checks"] if check["outcome"] == scenario["outcome"]
    )


def _check(check: _Object) -> Check:
    return Check(
        metric=check["metric"],
        statistic=check["statistic"],
        kind=CheckKind(check["kind"]),
        unit=check["unit"],
        n=check["n"],
        outcome=Outcome(check["outcome"]),
        reason=check["reason"],
        limit=check.get("limit"),
        observed=check.get("observed"),
        low=check.get("low"),
        high=check.get("high"),
        baseline=check.get("baseline"),
        ratio=check.get("ratio"),
        more=check.get("more"),
    )


def _measurement(scenario: _Object) -> Measurement:
    requests = scenario["requests"]
    return Measurement(
        scenario=scenario["id"],
        name=scenario["name"],
        path=scenario.get("path", ""),
        line=scenario.get("line", 0),
        backend=scenario["backend"],
        model=scenario["model"],
        setup=scenario.get("setup", ""),
        facts=scenario.get("facts", {}),
        iterations=scenario.get("iterations", 0),
        warmup=scenario.get("warmup", 0),
        warmup_latency_s=tuple(scenario.get("warmup_latency_s", ())),
        series={name: Column(values) for name, values in scenario["series"].items()},
        proportions=_proportions(scenario),
        json_failed=scenario.get("json_failed", 0),
        timed=scenario.get("timed", False),
        steps=tuple(scenario.get("steps", ())),
        excused=scenario.get("excused", {}),
        checks=tuple(
            CheckCount(name=check["name"], label=check["label"], count=_count(check))
            for check in scenario.get("named_checks", ())
        ),
        sent=requests["sent"],
        failed=requests["failed"],
        failures=tuple(
            FailureCount(kind=failure["kind"], count=failure["count"], example=failure["example"])
            for failure in requests.get("failures", ())
        ),
        tokens=_tokens(scenario["tokens"]),
        spent_usd=scenario.get("cost", {}).get("spent_usd"),
        characters=scenario.get("text", {}).get("characters", 0),
        same_read=_count(scenario.get("text", {}).get("same_read", {"successes": 0, "trials": 0})),
        cache=_cache(scenario.get("cache", {})),
        connections=connection_notes.from_object(scenario.get("connections", {})),
        server=from_plain(scenario.get("server")),
        busy_s=scenario.get("busy_s", 0.0),
        wall_s=scenario.get("wall_s", 0.0),
        resources=_resources(scenario.get("resources", {})),
        load=load.from_object(scenario["load"]) if "load" in scenario else None,
        stopped=scenario.get("stopped", ""),
        warnings=tuple(scenario.get("notes", ())),
    )


def _resources(used: _Object) -> Resources:
    return Resources(
        seconds=used.get("seconds", 0.0),
        usage={
            name: Usage(mean=one["mean"], peak=one["peak"], n=one["n"])
            for name, one in used.get("usage", {}).items()
        },
        missing=used.get("missing", {}),
        notes=tuple(used.get("notes", ())),
        at_s=tuple(used.get("at_s", ())),
        line={name: tuple(points) for name, points in used.get("line", {}).items()},
    )


def _proportions(scenario: _Object) -> dict[str, Count]:
    if "proportions" in scenario:
        return {name: _count(count) for name, count in scenario["proportions"].items()}
    sent, failed = scenario["requests"]["sent"], scenario["requests"]["failed"]
    return {"success_rate": Count(successes=sent - failed, trials=sent)} if sent else {}


def _count(count: _Object) -> Count:
    return Count(successes=count["successes"], trials=count["trials"])


def _tokens(tokens: _Object) -> TokenTotals:
    return TokenTotals(
        input=tokens.get("input") or 0,
        output=tokens.get("output") or 0,
        cached=tokens.get("cached"),
        reasoning=tokens.get("reasoning"),
        sources=tuple(TokenSource(source) for source in tokens.get("sources", ())),
    )


def _slo(scenario: _Object) -> Slo:
    slo = scenario.get("slo")
    if slo is None:
        return Slo(limits=_limits(scenario))
    return Slo(
        limits=tuple(map(_limit, slo["limits"])),
        accuracy=tuple(slo["accuracy"].items()),
        steps=tuple((name, _step_limits(limits)) for name, limits in slo.get("steps", {}).items()),
        gate=tuple(slo["gate"]),
        max_regression=slo["max_regression"],
        scenario=slo["scenario"],
        role=slo["role"],
        max_cost_usd=slo.get("max_cost_usd"),
        cache=CacheMode(slo.get("cache", CacheMode.AS_IS)),
        iterations=slo["iterations"],
        warmup=slo["warmup"],
        max_iterations=slo["max_iterations"],
    )


def _limit(limit: _Object) -> Limit:
    return Limit(key=limit["key"], metric=limit["metric"], statistic=limit["statistic"], bound=limit["bound"])


def _step_limits(limits: Sequence[_Object]) -> tuple[Limit, ...]:
    return tuple(
        Limit(
            key=limit["key"],
            metric=KEYS[limit["key"]].metric,
            statistic=limit["statistic"],
            bound=limit["bound"],
        )
        for limit in limits
    )


def _limits(scenario: _Object) -> tuple[Limit, ...]:
    """The promises as its checks tell them."""
    return tuple(
        Limit(
            key=f"{check['metric']} {check['statistic']}",
            metric=check["metric"],
            statistic=check["statistic"],
            bound=check["limit"],
        )
        for check in scenario["checks"]
        if check["kind"] == CheckKind.LIMIT and check.get("limit") is not None
    )
