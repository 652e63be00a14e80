"""One verdict in plain sentences: what broke, by how much and of what, and what would settle it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from pytest_llmperf.core.doubt import told
from pytest_llmperf.core.outcome import BROKEN, FINE, Outcome
from pytest_llmperf.core.quantity import show, show_range, show_ratio
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.verdict import Check, CheckKind
from pytest_llmperf.reports.summary import Summary


def sentences(row: Summary) -> tuple[str, str, str]:
    """The three sentences about one scenario."""
    check = _decisive(row.scenario.verdict.checks, row.outcome)
    what = _what(row, check)
    who = "It" if check is None or check.label in what else f"Its {check.label}"
    return what, _how_much(row.scenario, check, who=who), _settles(row, check)


def again(scenario: Scenario, environment: Mapping[str, str]) -> str:
    """The command line that measures *scenario* again, under the same options as far as they are known."""
    measured = scenario.measurement
    target = measured.scenario if "::" in measured.scenario else measured.path
    words = shlex.split(environment.get("options", ""))
    for name, value in (("backend", measured.backend or None), ("seed", environment.get("seed"))):
        if value is not None and not any(word.startswith(f"--llm-{name}=") for word in words):
            words.append(f"--llm-{name}={value}")
    command = shlex.join(["pytest", *([target] if target else []), *words])
    below = environment.get("directory")
    return f"cd {shlex.quote(below)} && {command}" if below else command


def _decisive(checks: Sequence[Check], outcome: Outcome) -> Check | None:
    """The check that the verdict rests on: of equally bad ones, p95 of the latency first."""
    same = [check for check in checks if check.outcome is outcome]
    return max(
        same,
        key=lambda check: (check.observed is not None, (check.metric, check.statistic) == ("latency", "p95")),
        default=None,
    )


def _what(row: Summary, check: Check | None) -> str:
    verdict = row.scenario.verdict
    if row.outcome in FINE or check is None:
        return f"{row.name} {_said(row.outcome)}: {verdict.reason}."
    if row.scenario.measurement.doubts and row.outcome is Outcome.INCONCLUSIVE:
        return f"{row.name} {_said(row.outcome)}: {told(row.scenario.measurement.doubts)}."
    more = sum(one.outcome is row.outcome for one in verdict.checks) - 1
    beside = f", and {more} more of its promises with it" if more else ""
    if check.observed is None:
        return f"{row.name} {_said(row.outcome)}: {check.reason}{beside}."
    if check.kind is CheckKind.REGRESSION:
        if check.limit is None:  # a share, which is not allowed to fall by a ratio
            fell = "fell" if row.outcome in BROKEN else "may have fallen"
            return f"{row.name} {_said(row.outcome)}: its {check.label} {fell} below the baseline's{beside}."
        past = "is past" if row.outcome in BROKEN else "may be past"
        limit = show_ratio(check.limit)
        return f"{row.name} {_said(row.outcome)}: its {check.label} {past} {limit} of the baseline{beside}."
    word = "misses" if row.outcome in BROKEN else "may miss"
    bound = show(check.limit, check.unit)
    return f"{row.name} {_said(row.outcome)}: its {check.label} {word} the limit of {bound}{beside}."


def _said(outcome: Outcome) -> str:
    return {
        Outcome.NO_BASELINE: "has no baseline",
        Outcome.NOT_COMPARABLE: "cannot be compared",
        Outcome.INCONCLUSIVE: "is undecided",
        Outcome.UNPROVEN: "is in doubt",
        Outcome.SKIPPED: "was not judged",
    }.get(outcome, outcome.value)


def _how_much(scenario: Scenario, check: Check | None, *, who: str) -> str:
    made_of = f" {scenario.explanation}." if scenario.explanation else ""
    measured = scenario.measurement
    if check is None or check.observed is None:
        failed = f", {measured.failed} of which failed" if measured.failed else ""
        return f"{measured.sent} requests were measured{failed}.{made_of}"
    now = f"{who} was {show(check.observed, check.unit)} (n={check.n}"
    if check.kind is CheckKind.LIMIT:
        between = show_range(check.low, _up(check.high), check.unit)
        interval = "" if check.low is None else f", 95 % interval {between}"
        return f"{now}{interval}).{made_of}"
    baseline = (
        "" if check.ratio is None else f", {show_ratio(check.ratio)} of {show(check.baseline, check.unit)}"
    )
    high = show_ratio(_up(check.high))
    interval = "" if check.low is None else f" (95 % interval {show_ratio(check.low)} to {high})"
    return f"{now}){baseline} in the baseline{interval}.{made_of}"


def _up(high: float | None) -> float:
    return float("inf") if high is None else high


def _settles(row: Summary, check: Check | None) -> str:
    if row.outcome in FINE:
        return "Nothing has to be settled."
    if row.outcome is Outcome.NO_BASELINE:
        return "pytest --save-baseline stores what later runs are compared with."
    if row.outcome is Outcome.NOT_COMPARABLE:
        return "A baseline of these conditions settles it: pytest --save-baseline stores one beside the old."
    if row.outcome in BROKEN:
        return _broken(check)
    return _undecided(row, check)


def _undecided(row: Summary, check: Check | None) -> str:
    if row.scenario.measurement.doubts:
        return "A run whose load is carried out as planned settles it."
    if check is None or check.observed is None:
        return "A run in which that is measured, to its end, settles it."
    if check.kind is CheckKind.LIMIT:
        return "More requests would settle it: --llm-max-iterations says how many there may be."
    more = "" if check.more is None else f"About {check.more} more requests would likely settle it; "
    turns = (
        "--llm-ab git:REV, in turns with the code before, takes the machine's own noise out of the comparison"
    )
    return f"{more}{turns}."


def _broken(check: Check | None) -> str:
    if check is None or check.observed is None:
        return "Nothing can be judged until that is mended."
    if check.unit == "" and check.metric != "cache_hit_rate":
        return "It is settled: the requests that failed it show what to mend."
    if check.kind is CheckKind.REGRESSION:
        return (
            "It is settled: more requests would not change it, and what changed since the baseline is the "
            "place to look; `accept:` in slo.yaml lets an intended one pass until a date."
        )
    better = "the answers have to become faster" if check.unit == "s" else "that has to become better"
    return f"It is settled: {better}, or the limit is not one for this backend."
