"""Measurements of one scenario whose items ran apart, put together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain

from pytest_llmperf.core.cache import CacheUse
from pytest_llmperf.core.column import Column, Series
from pytest_llmperf.core.connections import Connections
from pytest_llmperf.core.known import agreed, sum_known
from pytest_llmperf.core.load_report import pool_loads
from pytest_llmperf.core.measurement import (
    WARMUP_KEPT,
    CheckCount,
    Count,
    FailureCount,
    Measurement,
    TokenTotals,
)
from pytest_llmperf.core.resources import pool_resources
from pytest_llmperf.core.server_view import pooled


def pool(parts: Sequence[Measurement]) -> Measurement:
    """One measurement of a scenario whose items ran apart, in the order of *parts*."""
    first = parts[0]
    proportions: dict[str, Count] = {}
    checks: dict[tuple[str, str | None], Count] = {}
    kinds: dict[str, FailureCount] = {}
    facts: dict[str, list[str]] = {}
    busy_s, wall_s = sum(part.busy_s for part in parts), sum(part.wall_s for part in parts)
    if all(part.load is not None and part.load.mixed for part in parts):
        # They ran at the same time; how much their times in flight overlap is not known any more.
        wall_s = max(part.wall_s for part in parts)
        busy_s = min(busy_s, wall_s)
    for part in parts:
        for name, word in part.facts.items():
            facts.setdefault(name, []).append(word)
        for name, count in part.proportions.items():
            proportions[name] = proportions.get(name, Count()) + count
        for check in part.checks:
            key = (check.name, check.label)
            checks[key] = checks.get(key, Count()) + check.count
        for failure in part.failures:
            known = kinds.get(failure.kind, replace(failure, count=0))
            kinds[failure.kind] = replace(known, count=known.count + failure.count)
    return replace(
        first,
        facts={name: _items(words) if name == "items" else agreed(words) for name, words in facts.items()},
        # What made no request in a part of it says nothing of what its requests are.
        timed=any(part.timed for part in parts) and all(part.timed or not part.sent for part in parts),
        steps=tuple(dict.fromkeys(name for part in parts for name in part.steps)),
        excused=dict(sum((Counter(part.excused) for part in parts), Counter())),
        iterations=sum(part.iterations for part in parts),
        warmup_latency_s=tuple(value for part in parts for value in part.warmup_latency_s)[-WARMUP_KEPT:],
        series=_side_by_side([part.series for part in parts]),
        proportions=proportions,
        json_failed=sum(part.json_failed for part in parts),
        checks=tuple(
            CheckCount(name=name, label=label, count=count) for (name, label), count in checks.items()
        ),
        sent=sum(part.sent for part in parts),
        failed=sum(part.failed for part in parts),
        failures=tuple(kinds.values()),
        tokens=sum((part.tokens for part in parts), TokenTotals()),
        characters=sum(part.characters for part in parts),
        same_read=sum((part.same_read for part in parts), Count()),
        cache=sum((part.cache for part in parts), CacheUse()),
        connections=sum((part.connections for part in parts), Connections()),
        server=reduce(pooled, (part.server for part in parts)),
        busy_s=busy_s,
        wall_s=wall_s,
        resources=pool_resources([part.resources for part in parts]),
        load=pool_loads([part.load for part in parts if part.load is not None]),
        spent_usd=sum_known([part.spent_usd for part in parts]),
        over_budget=any(part.over_budget for part in parts),
        stopped="; ".join(dict.fromkeys(part.stopped for part in parts if part.stopped)),
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
    )


def _side_by_side(parts: Sequence[Series]) -> dict[str, Column]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: Column(chain.from_iterable(part.get(name, ()) for part in parts)) for name in names}


def _items(words: Sequence[str]) -> str:
    """Which items a pool is made of, such as ``4 (9f86d081)``: half of them measure something else."""
    names = sorted(set(words))
    return f"{len(names)} ({hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:8]})"
