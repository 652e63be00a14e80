"""Measurements from test reports, gathered into one Run. What it cannot know, it fails."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pytest_llmperf.ab.arms import Base, as_history
from pytest_llmperf.core import codec
from pytest_llmperf.core.breakdown import explanation
from pytest_llmperf.core.budget import not_passed
from pytest_llmperf.core.cache_saving import savings
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.judge import judge, quick
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.pool import pool
from pytest_llmperf.core.run import Run, Scenario, drift
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.options import GateMode
from pytest_llmperf.probes.git import revision
from pytest_llmperf.probes.machine import machine
from pytest_llmperf.reports.write import write
from pytest_llmperf.rig.rig import Rig
from pytest_llmperf.saving import save
from pytest_llmperf.sharing import CUT_SHORT, RUN, ledger_of, rig_of
from pytest_llmperf.transport import INTERRUPTED
from pytest_llmperf.version import VERSION
from pytest_llmperf.workers import left_behind


@dataclass
class Ledger:
    """What the controller, or the only process, has learnt from its tests' reports."""

    started: float  #: POSIX time
    problems: list[str]
    scenarios: list[Scenario] = field(default_factory=list)

    def add(self, text: str, report: pytest.TestReport) -> None:
        """Take in one scenario as JSON *text*, which is empty when its test left none."""
        if not text:
            self.problems.append(
                f"{report.nodeid} carries llm_slo or llm_load and was not measured: "
                "only test functions can be"
            )
            return
        scenario = codec.loads(text, Scenario)
        if hasattr(report, "wasxfail"):
            reason = f"xfail {report.wasxfail}".strip()
            verdict = replace(scenario.verdict, outcome=Outcome.SKIPPED, reason=reason, settled=True)
            scenario = replace(scenario, verdict=verdict)
        self.scenarios.append(scenario)

    def close(self, rig: Rig, *, interrupted: bool) -> Run:
        """The session's run: pooled scenarios judged, the baseline saved unless *interrupted*."""
        scenarios = tuple(_with_history(scenario, rig) for scenario in _pooled(self.scenarios, rig))
        warnings = [] if (sentence := drift(scenarios)) is None else [sentence]
        names = {scenario.measurement.subject for scenario in scenarios}
        setups = [setup.label for setup in rig.options.setups] or [""]
        warnings += dict.fromkeys(text for label in setups for text in rig.aimed(label).strangers(names))
        run = Run(
            started=_iso(dt.datetime.fromtimestamp(self.started, dt.UTC)),
            environment={
                "llmperf": VERSION,
                "backend": ", ".join(rig.options.backends),
                "seed": str(rig.seed),
                **({"options": shlex.join(rig.options.asked)} if rig.options.asked else {}),
                **machine(),
                **revision(rig.root),
            },
            scenarios=scenarios,
            problems=tuple(self.problems),
            warnings=tuple(warnings),
            yardsticks=rig.slo_file.yardsticks,
        )
        if not rig.options.saves:
            return run
        if interrupted or run.problems:
            why = "the session did not end by itself" if interrupted else run.problems[0]
            return replace(run, saved=(f"no baseline was saved: {why}",))
        saved, refused = save(run, rig, moment=_iso(dt.datetime.now(dt.UTC)))
        return replace(run, saved=tuple(saved), problems=(*run.problems, *refused))


def _with_history(scenario: Scenario, rig: Rig) -> Scenario:
    """*scenario* with the stored runs that it was compared with, for plots, and what they explain."""
    history = rig.baselines.history(scenario.measurement.scenario)
    scenario = replace(scenario, stored=history.comparable(scenario.measurement))
    return replace(scenario, explanation=explanation(scenario))


def _pooled(scenarios: Iterable[Scenario], rig: Rig) -> Iterable[Scenario]:
    """*scenarios* with the items of each pooled one put together, and judged."""
    groups: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        groups.setdefault(scenario.measurement.scenario, []).append(scenario)
    for group in groups.values():
        if group[0].slo.scenario is None:
            yield from group
        else:
            yield _put_together(group, rig)


def _put_together(group: Sequence[Scenario], rig: Rig) -> Scenario:
    """The pooled scenario whose items are *group*."""
    # Those that were skipped in the middle, or are expected to fail, are not judged.
    parts = [scenario for scenario in group if not scenario.verdict.settled]
    measurement = pool([scenario.measurement for scenario in parts or group])
    base = _pool_of([scenario.base for scenario in parts])
    cold = _pool_of([scenario.cold for scenario in parts])
    if any(scenario.verdict.outcome is Outcome.FAILED for scenario in group):
        verdict = Verdict(outcome=Outcome.FAILED, reason="an item of it ended before its measuring did")
    elif not parts:
        verdict = group[0].verdict
    else:
        verdict = _pool_verdict([part.slo for part in parts], measurement, base, rig)
        verdict = not_passed(verdict, measurement)
    return Scenario(
        measurement=measurement,
        slo=group[0].slo,
        verdict=verdict,
        base=base,
        cold=cold,
        savings=() if cold is None else savings(measurement, cold),
    )


def _pool_of(arms: Iterable[Measurement | None]) -> Measurement | None:
    """The other arms of the items put together; None where none has one."""
    measured = [arm for arm in arms if arm is not None]
    return pool(measured) if measured else None


def _pool_verdict(
    slos: Sequence[Slo], measurement: Measurement, base: Measurement | None, rig: Rig
) -> Verdict:
    if rig.options.gate is GateMode.OFF:
        return Verdict(outcome=Outcome.SKIPPED, reason="the gate is off")
    if len(set(map(_promises, slos))) > 1:
        # Which of them were judged would depend on the order of the items.
        return Verdict(
            outcome=Outcome.FAILED,
            reason="its items promise different things: give all of them the same limits, or other names",
        )
    if rig.options.quick:
        return quick(measurement, slos[0])
    history = (
        rig.baselines.history(measurement.scenario)
        if base is None
        else as_history(Base(label=base.backend), base)
    )
    return judge(measurement, slos[0], history, rig.terms())


def _promises(slo: Slo) -> Hashable:
    """What a verdict on *slo* depends on."""
    limits = frozenset((limit.metric, limit.statistic, limit.bound) for limit in slo.limits)
    return limits, frozenset(slo.accuracy), frozenset(slo.steps), slo.gate, slo.max_regression


def _iso(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds")


def finish(session: pytest.Session) -> None:
    """Close the ledger: the run for the terminal, the reports, and the exit status."""
    config = session.config
    ledger, rig = ledger_of(config), rig_of(config)
    unreported = [*config.stash.get(INTERRUPTED, []), *left_behind(config)]
    ledger.scenarios += [codec.loads(text, Scenario) for text in unreported]
    ended = session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    run = ledger.close(rig, interrupted=not ended or config.stash.get(CUT_SHORT, False))
    notes, problems = write_reports(run, rig.options.reports, directory=config.invocation_params.dir)
    sent, unsent = _sent(run, rig) if rig.options.otel else ([], [])
    run = replace(run, saved=(*run.saved, *notes, *sent), problems=(*run.problems, *problems, *unsent))
    config.stash[RUN] = run
    session.exitstatus = exit_status(run, session.exitstatus, rig.options.fails)


def _sent(run: Run, rig: Rig) -> tuple[list[str], list[str]]:
    """What ``--llm-otel`` sent, and what it could not."""
    from pytest_llmperf.reports import otel  # noqa: PLC0415 - an extra, where it is asked for

    labels = [setup.label for setup in rig.options.setups] or [""]
    urls = {label: url for label in labels if (url := rig.aimed(label).servers.entry.url) is not None}
    try:
        return [otel.export(run, urls)], []
    except LlmPerfUsageError as error:
        return [], [str(error)]


def write_reports(run: Run, targets: Sequence[str], *, directory: Path) -> tuple[list[str], list[str]]:
    """Write every report: what was written, and what could not be."""
    try:
        return write(run, targets, directory=directory), []
    except (LlmPerfUsageError, OSError) as error:
        return [], [f"a report was not written: {error}"]


def exit_status(
    run: Run, given: int | pytest.ExitCode, fails: Callable[[Outcome], bool]
) -> int | pytest.ExitCode:
    """The session's exit status: *given* by pytest, replaced only when pytest found nothing wrong.

    Ordinary scenarios have failed their own tests already; this adds what no test can say: pooled
    scenarios, and what kept the gate from knowing.
    """
    if given != pytest.ExitCode.OK:
        return given
    if run.problems:
        return pytest.ExitCode.INTERNAL_ERROR
    if any(fails(scenario.verdict.outcome) for scenario in run.scenarios):
        return pytest.ExitCode.TESTS_FAILED
    return given
