"""The way of a measurement to the process that sees every report: as text on the test's own report."""

from __future__ import annotations

import pytest

#: JSON texts of scenarios that were interrupted, for which pytest makes no report.
INTERRUPTED = pytest.StashKey[list[str]]()

#: JSON text of an item's scenario, on its way to the item's report.
RESULT = pytest.StashKey[str]()

#: Of a report; xdist carries every attribute that is plain text.
_ATTRIBUTE = "llmperf"

_PASSED = pytest.StashKey[bool]()


def attach(report: pytest.TestReport, item: pytest.Item) -> None:
    """Put the item's result on its report; empty where a passed test left none.

    Subtests make reports of their own before there is a result: they carry nothing.
    """
    if RESULT in item.stash:
        text = item.stash[RESULT]
        setattr(report, _ATTRIBUTE, text)
        del item.stash[RESULT]
        if text in (interrupted := item.config.stash.get(INTERRUPTED, [])):
            interrupted.remove(text)  # under --pdb Ctrl-C ends one test, and there is a report
        item.stash[_PASSED] = False
    elif report.when == "call":
        item.stash[_PASSED] = report.passed
    elif report.when == "teardown" and item.stash.get(_PASSED, False):
        setattr(report, _ATTRIBUTE, "")


def take_off(report: pytest.TestReport) -> str | None:
    """What `attach` put on a report; None for a report of anything else.

    It is gone from there: pytest keeps every report to the end, and the samples of a load test are megabytes.
    """
    text: str | None = report.__dict__.pop(_ATTRIBUTE, None)
    # pytest-rerunfailures adds an outcome: that run of the test does not count.
    return None if str(report.outcome) == "rerun" else text
