"""``--llm-gate=plain``, the bare rule: past the limit is a regression, proven or not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pytest_llmperf.core.decision import Decision, ratio
from pytest_llmperf.core.gate import decide
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.quantile import checked


def decide_plain(
    current: Sequence[float],
    runs: Sequence[Sequence[float]],
    *,
    quantile: float = 0.95,
    max_regression: float = 0.10,
    metric: str = "latency",
) -> Decision:
    """Decide by the observed ratio alone; interval and warnings are those of `gate.decide`."""
    decision = decide(current, runs, quantile=quantile, max_regression=max_regression, metric=metric)
    observed, baseline = (
        float(np.quantile(values, quantile)) for values in (np.asarray(current), np.concatenate(list(runs)))
    )
    seen = ratio(observed, baseline)
    return replace(
        decision,
        outcome=Outcome.REGRESSED if seen > 1 + max_regression else Outcome.PASSED,
        final=True,
        quantile=quantile,
        observed=observed,
        baseline=baseline,
        ratio=seen,
        mde=None,
        more=None,
    )


def plain_alarms(
    runs: Sequence[Sequence[float]], *, quantile: float = 0.95, max_regression: float = 0.10
) -> float | None:
    """How often the bare rule fails code that did not change: the share of pairs of stored runs it fails.

    None with fewer than two runs.
    """
    found = [
        float(np.quantile(checked(run, f"stored run {number}"), quantile))
        for number, run in enumerate(runs, 1)
    ]
    failed = [ratio(now, base) > 1 + max_regression for now, base in itertools.permutations(found, 2)]
    return sum(failed) / len(failed) if failed else None
