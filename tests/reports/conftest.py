"""Realistic runs, judged by the real gate."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.exchange import TokenSource
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.measurement import CheckCount, Count, FailureCount, Measurement, TokenTotals
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import Slo, build, parse_arguments

FACTS = {"backend kind": "openai", "hardware": "RTX 4060", "streaming": "on"}


def times(median_s: float, n: int, *, sigma: float = 0.08, seed: int = 7) -> tuple[float, ...]:
    rng = random.Random(seed)
    return tuple(round(median_s * rng.lognormvariate(0.0, sigma), 9) for _ in range(n))


def slo(**arguments) -> Slo:
    return build(parse_arguments(arguments, where="tests"))


def measured(name: str = "test_router", *, n: int = 40, median_s: float = 0.11, **more) -> Measurement:
    latency = times(median_s, n)
    series = {
        "latency_s": latency,
        "ttft_s": tuple(round(0.5 * value, 9) for value in latency),
        "itl_s": tuple(round(0.01 * value, 9) for value in latency),
        "input_tokens": (120.0,) * n,
        "output_tokens": (42.0,) * n,
        **more.pop("series", {}),
    }
    fields = {
        "scenario": f"tests/test_{name.partition('[')[0]}.py::{name}",
        "name": name,
        "path": "tests/test_assistant.py",
        "line": 12,
        "backend": "vllm",
        "model": "Qwen/Qwen2.5-3B-Instruct",
        "facts": FACTS,
        "iterations": n,
        "warmup": 5,
        "warmup_latency_s": (0.9, 0.2, 0.12),
        "series": series,
        "proportions": {
            "success_rate": Count(successes=n, trials=n),
            "pass_rate": Count(successes=n, trials=n),
            "json_valid": Count(successes=n, trials=n),
        },
        "sent": n,
        "tokens": TokenTotals(input=120 * n, output=42 * n, sources=(TokenSource.SERVER,)),
        "busy_s": sum(latency),
        "wall_s": sum(latency) + 0.5,
    }
    return Measurement(**{**fields, **more})


def stored(
    median_s: float = 0.11,
    *,
    n: int = 200,
    runs: int = 3,
    facts: Mapping[str, str] = FACTS,
) -> History:
    def one(seed: int) -> StoredRun:
        latency = times(median_s, n, seed=seed)
        return StoredRun(
            scenario="any",
            saved="2026-05-04T10:00:00Z",
            commit="3f2c1a9",
            branch="main",
            facts=facts,
            series={"latency_s": latency, "ttft_s": tuple(0.5 * value for value in latency)},
            proportions={"success_rate": Count(successes=n, trials=n)},
        )

    return History(runs=tuple(one(seed) for seed in range(100, 100 + runs)))


def judged(measurement: Measurement, promise: Slo | None = None, history: History | None = None) -> Scenario:
    promise, history = promise or slo(p95_ms=1000), history or History()
    return Scenario(
        measurement=measurement,
        slo=promise,
        verdict=judge(measurement, promise, history),
        stored=tuple(replace(one, scenario=measurement.scenario) for one in history.comparable(measurement)),
    )


def passed(name: str = "test_chat") -> Scenario:
    return judged(measured(name, n=200), slo(p95_ms=150), stored())


def failed(name: str = "test_router") -> Scenario:
    return judged(measured(name, median_s=0.2), slo(p95_ms=150), stored(0.2))


def regressed(name: str = "test_summary") -> Scenario:
    return judged(measured(name, n=200, median_s=0.2), slo(p95_ms=900), stored(0.11))


def inconclusive(name: str = "test_tools") -> Scenario:
    return judged(measured(name, n=30, median_s=0.112), slo(p95_ms=900), stored(0.11, n=25, runs=1))


def no_baseline(name: str = "test_new") -> Scenario:
    return judged(measured(name), slo(p95_ms=1000))


def not_comparable(name: str = "test_moved") -> Scenario:
    return judged(measured(name), slo(p95_ms=1000), stored(facts={**FACTS, "hardware": "L4"}))


def unreachable(name: str = "test_broken") -> Scenario:
    nothing = measured(
        name,
        n=0,
        series={},
        iterations=30,
        sent=30,
        failed=30,
        failures=(
            FailureCount(kind="connect", count=28, example="connection refused (127.0.0.1:8000)"),
            FailureCount(kind="http_status", count=2, example="503: \x1b[31moverloaded\x1b[0m\nretry"),
        ),
        proportions={"success_rate": Count(successes=0, trials=30)},
        tokens=TokenTotals(),
        busy_s=0.0,
    )
    return judged(nothing, slo(p95_ms=150))


def silent(name: str = "test_silent") -> Scenario:
    """Ran, and asked no model anything."""
    return judged(Measurement(scenario=f"tests/test_x.py::{name}", name=name, iterations=3), slo(p95_ms=150))


def priced(name: str = "test_priced") -> Scenario:
    return judged(measured(name, n=40, series={"cost_usd": (0.0000123,) * 40}), slo(cost_usd=0.01))


def pooled(name: str = "frontdoor") -> Scenario:
    checks = (
        CheckCount(name="route", label="finance", count=Count(successes=8, trials=10)),
        CheckCount(name="route", label="sağlık", count=Count(successes=30, trials=30)),
        CheckCount(name="intent", label=None, count=Count(successes=39, trials=40)),
    )
    return judged(
        measured(name, scenario=name, checks=checks, warnings=("the client fell behind by 12 ms",)),
        slo(p95_ms=1000, scenario=name, accuracy={"route": 0.9}),
    )


def hostile() -> Scenario:
    name = "test_\x1b[2Jçok_ılık_İPTAL[<script>alert(1)</script>|`rm`|\u202egnp.exe]"
    return judged(
        measured(
            name, model="evil\r\n::error::|<b>", scenario=f"tests/test_x.py::{name}", backend="=cmd|' /C'!A1"
        ),
        slo(p95_ms=150),
    )


def run_of(*scenarios: Scenario, **more) -> Run:
    fields = {
        "started": "2026-05-05T08:30:00Z",
        "environment": {
            "commit": "9d4e11b",
            "branch": "faster-prompts",
            "python": "3.11.7",
            "cpu": "8 cores",
        },
    }
    return Run(**{**fields, **more}, scenarios=scenarios)


MAKERS: dict[str, Callable[[], Scenario]] = {
    "passed": passed,
    "failed": failed,
    "regressed": regressed,
    "inconclusive": inconclusive,
    "no_baseline": no_baseline,
    "not_comparable": not_comparable,
    "unreachable": unreachable,
    "silent": silent,
    "priced": priced,
    "pooled": pooled,
    "hostile": hostile,
}


class Runs:
    """Makes runs and their parts by name: ``runs.of("passed", "failed")``."""

    measured = staticmethod(measured)
    judged = staticmethod(judged)
    stored = staticmethod(stored)
    slo = staticmethod(slo)
    run_of = staticmethod(run_of)

    def __init__(self, made: dict[str, Scenario]) -> None:
        self._made = made

    def scenario(self, kind: str, name: str | None = None) -> Scenario:
        if name is not None:
            return MAKERS[kind](name)
        if kind not in self._made:
            self._made[kind] = MAKERS[kind]()
        return self._made[kind]

    def of(self, *kinds: str, **more) -> Run:
        return run_of(*(self.scenario(kind) for kind in kinds), **more)

    def everything(self) -> Run:
        return self.of(
            *MAKERS,
            saved=("saved 7 scenarios to .llmperf/baselines",),
            problems=("worker gw1 crashed: 2 scenarios are missing",),
        )


@pytest.fixture(scope="session")
def runs() -> Runs:
    return Runs({})
