"""A check as the cells of a table."""

from __future__ import annotations

import pytest

from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.verdict import Check, CheckKind
from pytest_llmperf.reports.check_cells import cells


def check(kind, **more):
    known = {"metric": "latency", "statistic": "p95", "unit": "s", "n": 40}
    return Check(**known, kind=kind, outcome=Outcome.FAILED, reason="", **more)


@pytest.mark.parametrize(
    ("checked", "shown"),
    [
        (
            check(CheckKind.LIMIT, observed=0.212, limit=0.15, low=0.188, high=0.24),
            ("212 ms (188-240 ms)", "150 ms", "-", "-"),
        ),
        (
            check(
                CheckKind.REGRESSION, observed=0.3, limit=1.1, baseline=0.2, ratio=1.5, low=1.32, high=1.71
            ),
            ("300 ms", "x1.10", "200 ms", "x1.50 (1.32-1.71)"),
        ),
        (
            check(
                CheckKind.REGRESSION, observed=0.3, limit=1.1, baseline=0.2, ratio=1.5, low=1.32, high=None
            ),
            ("300 ms", "x1.10", "200 ms", "x1.50 (1.32-∞)"),
        ),
        (check(CheckKind.REGRESSION, observed=None, limit=None), ("-", "-", "-", "-")),
    ],
)
def test_the_interval_stands_with_what_was_decided_upon(checked, shown):
    told = cells(checked)
    assert (told.now, told.limit, told.baseline, told.ratio) == shown
