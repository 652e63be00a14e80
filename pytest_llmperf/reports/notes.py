"""What a table cannot say, in plain sentences; every untrusted part of them is made safe to print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_llmperf.core.measurement import CheckCount, Count
from pytest_llmperf.core.outcome import BROKEN, FINE, Outcome
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.run import Run
from pytest_llmperf.reports import connection_notes, cost_section, load
from pytest_llmperf.reports.excess import excess
from pytest_llmperf.reports.summary import Summary
from pytest_llmperf.reports.wording import asked

#: The fact that says what the relay of ``llm_client`` adds to a request.
RELAY_COST = "relay cost"
_MOST = 10  #: doubtful verdicts, and labels of a check, that are told before the rest is counted
_PERCENTAGE = re.compile(r"[+-]?\d+(?:\.\d+)? %")
_EXAMPLE = 300  #: characters of an error message


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What is to be said about some scenarios."""

    outcome: Outcome
    who: str
    text: str
    why: str = ""  #: what the regression is made of, where the samples show it


def verdicts(rows: Sequence[Summary], *, every: bool) -> list[Sentence]:
    """A sentence for each broken gate and each doubtful verdict, worst first; equal ones are told once.

    Broken ones are all told, of the doubtful ones the first ten unless *every*.
    """
    groups: dict[tuple[Outcome, tuple[str, ...], str], list[str]] = {}
    for row in worst_first(rows):
        if row.outcome not in FINE:
            about = row.outcome, _reasons(row), row.scenario.explanation or ""
            groups.setdefault(about, []).append(row.name)
    told = [_sentences(*about, names) for about, names in groups.items()]
    shown = [
        group for index, group in enumerate(told) if every or index < _MOST or group[0].outcome in BROKEN
    ]
    sentences = [sentence for group in shown for sentence in group]
    if left := told[len(shown) :]:
        more = f"doubtful in other ways: {len(left)} more (-v shows them)"
        sentences.append(Sentence(outcome=left[0][0].outcome, who=more, text=""))
    return sentences


def worst_first(rows: Sequence[Summary]) -> list[Summary]:
    """*rows* by severity, and the farthest beyond what is allowed first."""

    def beyond(row: Summary) -> float:
        return max((excess(check) for check in row.scenario.verdict.broken), default=0.0)

    return sorted(rows, key=lambda row: (-row.outcome.severity, -beyond(row)))


def _reasons(row: Summary) -> tuple[str, ...]:
    """One for each broken gate; of a doubtful verdict the one that it gives."""
    broken = [check.reason for check in row.scenario.verdict.broken]
    return tuple(broken) if row.outcome in BROKEN and broken else (row.scenario.verdict.reason,)


def _sentences(outcome: Outcome, reasons: Sequence[str], why: str, names: Sequence[str]) -> list[Sentence]:
    *first, last = (Sentence(outcome=outcome, who=_who(names), text=plain(reason)) for reason in reasons)
    return [*first, replace(last, why=plain(why))]


def explanations(rows: Sequence[Summary]) -> list[Sentence]:
    """What each regression is made of, where the samples show it."""
    return [
        Sentence(outcome=row.outcome, who=plain(row.name), text="", why=plain(row.scenario.explanation))
        for row in rows
        if row.scenario.explanation is not None
    ]


def every_check(rows: Sequence[Summary]) -> list[Sentence]:
    """The checks that hold, of every scenario: those that no verdict's sentence tells."""
    return [
        Sentence(outcome=check.outcome, who=plain(row.name), text=plain(check.reason))
        for row in rows
        for check in row.scenario.verdict.checks
        if check.outcome in FINE and check.reason
    ]


def failed_requests(rows: Sequence[Summary]) -> list[str]:
    """``12 of 40 requests failed: http_status in test_router, e.g. 503 overloaded``, a line per kind."""
    counts: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    examples: dict[str, str] = {}
    for row in rows:
        for failure in row.scenario.measurement.failures:
            counts[failure.kind] = counts.get(failure.kind, 0) + failure.count
            names.setdefault(failure.kind, []).append(row.name)
            examples.setdefault(failure.kind, failure.example)
    sent = sum(row.scenario.measurement.sent for row in rows)
    return [
        f"{count} of {sent} requests failed: {plain(kind)} in {_who(names[kind])}, "
        f"e.g. {plain(examples[kind], limit=_EXAMPLE)}"
        for kind, count in sorted(counts.items(), key=lambda pair: -pair[1])
    ]


def spent(rows: Sequence[Summary]) -> list[str]:
    """``measured: vllm Qwen/Qwen2.5-3B-Instruct; 958 requests``."""
    measured = [row.scenario.measurement for row in rows]
    servers = _distinct(name for name in map(asked, measured) if name)
    return (
        [f"measured: {', '.join(servers)}; {sum(one.sent for one in measured)} requests"] if servers else []
    )


def facts(rows: Sequence[Summary]) -> list[str]:
    """What clients went through, who counted the tokens, what it all cost, and how loads were carried out."""
    measured = [row.scenario.measurement for row in rows]
    lines = []
    costs_of_relay = _distinct(one.facts[RELAY_COST] for one in measured if RELAY_COST in one.facts)
    if costs_of_relay:
        lines.append(f"clients of the tests were measured through a relay, which adds {costs_of_relay[0]}")
    sources = _distinct(source.value for one in measured for source in one.tokens.sources)
    if sources:
        how = " (the estimate is max(words, characters / 4))" if "estimate" in sources else ""
        lines.append(f"tokens counted by: {', '.join(sources)}{how}")
    lines += cost_section.session(rows)
    stopped = [(row.name, row.scenario.measurement.stopped) for row in rows]
    lines += load.sentences(rows)
    lines += connection_notes.sentences(rows)
    return [*lines, *(f"{plain(name)}: stopped, {plain(why)}" for name, why in stopped if why)]


def labelled_checks(rows: Sequence[Summary], *, every: bool) -> list[str]:
    """``test_router  route 91.3 % (137 of 150): finance 80 % (8 of 10), ...``, worst label first."""
    lines = []
    for row in rows:
        by_name: dict[str, list[CheckCount]] = {}
        for check in row.scenario.measurement.checks:
            by_name.setdefault(check.name, []).append(check)
        for name, checks in by_name.items():
            total = sum((check.count for check in checks), Count())
            labels = sorted(
                (check for check in checks if check.label is not None), key=lambda check: check.count.rate
            )
            shown = labels if every else labels[:_MOST]
            parts = [f"{plain(str(check.label))} {_share(check.count)}" for check in shown]
            if len(shown) < len(labels):
                parts.append(f"{len(labels) - len(shown)} more")
            ending = f": {', '.join(parts)}" if parts else ""
            lines.append(f"{plain(row.name)}  {plain(name)} {_share(total)}{ending}")
    return lines


def warnings(run: Run, rows: Sequence[Summary]) -> list[str]:
    """Every warning once, with the scenarios that it is about; in percentages alone they may differ."""
    about: dict[str, dict[str, None]] = {}
    alike: dict[str, dict[str, None]] = {}
    for row in rows:
        for warning in untold(row):
            pattern = _PERCENTAGE.sub("%", warning)
            about.setdefault(pattern, {})[row.name] = None
            alike.setdefault(pattern, {})[warning] = None
    lines = [f"warning: {plain(text)}" for text in run.warnings]
    lines += [f"warning: {plain(_as_one(list(alike[key])))} ({_who(list(about[key]))})" for key in about]
    return lines


def untold(row: Summary) -> list[str]:
    """What a scenario's verdict warns of, but for what its reason says already."""
    verdict = row.scenario.verdict
    every = dict.fromkeys((*verdict.warnings, *row.scenario.measurement.warnings))
    return [warning for warning in every if warning not in verdict.reason]


def _as_one(texts: Sequence[str]) -> str:
    """The first of *texts*, which differ in percentages only, with the range of each: ``6 to 16 %``."""
    each = [[match.removesuffix(" %") for match in _PERCENTAGE.findall(text)] for text in texts]
    ranges = iter([sorted(set(column), key=float) for column in zip(*each, strict=True)])

    def spread(_: re.Match[str]) -> str:
        found = next(ranges)
        return f"{found[0]} %" if len(found) == 1 else f"{found[0]} to {found[-1]} %"

    return _PERCENTAGE.sub(spread, texts[0])


def _share(count: Count) -> str:
    return f"{show(count.rate, '')} ({count.successes} of {count.trials})"


def _who(names: Sequence[str]) -> str:
    shown = ", ".join(plain(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(plain(text) for text in texts))
