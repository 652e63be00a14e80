"""Verdicts as the text of a failed test."""

from __future__ import annotations

from pytest_llmperf.core import server_story
from pytest_llmperf.core.comparison import observed
from pytest_llmperf.core.outcome import BROKEN, Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.verdict import Check


def failure_text(scenario: Scenario, strict: frozenset[Outcome] = frozenset()) -> str:
    """What a person needs to act: one line per value that is not as promised, and failed requests.

    Before them what is said of the whole, where that is no check's outcome, such as a load not carried out.
    *strict* are the outcomes that fail this session besides failed and regressed.
    """
    measurement, verdict = scenario.measurement, scenario.verdict
    failing = BROKEN | strict
    about: dict[tuple[str, str], list[Check]] = {}
    for check in verdict.checks:
        if check.outcome in failing:
            about.setdefault((check.metric, check.statistic), []).append(check)
    own = "" if any(check.outcome is verdict.outcome for check in verdict.checks) else verdict.reason
    lines = [f"{measurement.name}  {own}"] if own else []
    lines += [
        f"{measurement.name}  {' · '.join([checks[0].reason, *map(_briefly, checks[1:])])}"
        for checks in about.values()
    ]
    if scenario.explanation is not None:
        lines.append(f"{measurement.name}  {scenario.explanation}")
    lines += [
        f"{measurement.name}  {failure.count} of {measurement.sent} requests failed "
        f"({failure.kind}): {failure.example}"
        for failure in measurement.failures
    ]
    story = None if server_story.is_told(scenario) else server_story.comparison(scenario)
    if lines and story is not None:
        lines.append(f"{measurement.name}  {story}")
    if measurement.stopped and measurement.stopped not in own:
        lines.append(f"{measurement.name}  stopped: {measurement.stopped}")
    return "\n".join(map(plain, lines))


def _briefly(check: Check) -> str:
    """The reason of a comparison after another sentence has said what was observed."""
    return check.reason.replace(f"{observed(check)}, ", "", 1)
