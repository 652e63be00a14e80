"""One scenario that is being measured: its samples, what they cost, and the verdict on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pytest

from pytest_llmperf.ab.arms import Arm, Base, Switch, as_history, paired
from pytest_llmperf.core import server_story
from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.breakdown import explanation
from pytest_llmperf.core.budget import Budget, cost_at_most, not_passed
from pytest_llmperf.core.buffering import buffering
from pytest_llmperf.core.cache import CacheMode, cache_remark
from pytest_llmperf.core.cache_saving import savings
from pytest_llmperf.core.explain import failure_text
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.judge import judge, quick
from pytest_llmperf.core.measure import measure
from pytest_llmperf.core.measurement import WARMUP_KEPT, Measurement
from pytest_llmperf.core.metric import STEP, series_name
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.resources import Resources, made_by
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.server_view import joined
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.display import Progress
from pytest_llmperf.ending import ends_quietly, failed_by_json, invalid_reply, one_line
from pytest_llmperf.iteration_log import IterationLog, Taken
from pytest_llmperf.options import GateMode
from pytest_llmperf.probes.sampler import Sampler
from pytest_llmperf.rig.rig import Rig
from pytest_llmperf.rounds import rounds_of
from pytest_llmperf.server_watch import ServerWatch

#: Iterations in a row, ended by a server that cannot be reached, after which it counts as gone.
GONE_AFTER = 5


class Loaded(Protocol):
    """The samples of many iterations at once, see `loading`."""

    def measured(self, arm: Arm) -> Measurement:
        """What was measured of *arm* so far."""
        ...

    @property
    def count(self) -> int:
        """How many iterations ended."""
        ...


@dataclass(kw_only=True)
class Measuring:
    """What is measured of one scenario, and what came of it so far."""

    rig: Rig
    slo: Slo
    log: IterationLog
    switch: Switch
    about: Measurement
    history: History
    watch: ServerWatch
    base: Base | None = None  #: the other arm, under ``--llm-ab``
    cases: Iterator[Any] | None = None
    stop_at_once: bool = False  #: --pdb: the debugger is wanted where the first iteration fails
    benchmark: Any | None = None  #: pytest-benchmark's fixture, which repeats by itself
    progress: Progress | None = None
    sampler: Sampler | None = None  #: of what server and machine use meanwhile
    closers: list[Callable[[], object]] = field(default_factory=list)  #: of what was opened in the event loop
    iterations: list[Iteration] = field(default_factory=list)
    warmups: list[float] = field(default_factory=list)  #: latencies of the warm-up
    first_error: BaseException | None = None
    first_invalid: str = ""  #: the first reply that was not JSON as asked, where json_valid alone tells of it
    verdict: Verdict | None = None
    stopped: str = ""
    budgets: Sequence[Budget] = ()
    spent_usd: float = 0.0
    over_budget: bool = False
    remarks: list[str] = field(default_factory=list)  #: warnings about how it was measured
    loaded: Loaded | None = None  #: where the samples are, under a load profile
    generators: Sequence[Resources] = ()  #: what other processes used to make the load, if they did

    def sample(self) -> None:
        """Resources are sampled from now on: what comes is measured."""
        self.log.connections.measuring()
        if self.sampler is not None:
            self.sampler.begin()

    def stop_sampling(self) -> None:
        """What comes is measured no more; harmless when that is known."""
        if self.sampler is not None:
            self.sampler.end()

    def refusal(self, iterations: int) -> str | None:
        """Why that many iterations more are within no budget; None when they may run."""
        refusals = (budget.refusal(iterations) for budget in self.budgets)
        refusal = next(filter(None, refusals), None)
        self.over_budget = refusal is not None
        return refusal

    def close_clients(self) -> None:
        """Close what fixtures opened in the running event loop."""
        for close in self.closers:
            if not inspect.iscoroutinefunction(close):
                close()

    @property
    def count(self) -> int:
        """How many measured iterations ended."""
        return len(self.iterations) if self.loaded is None else self.loaded.count

    def spend(self, iteration: Iteration) -> None:
        """Count what *iteration* cost, in every budget."""
        usd = cost_at_most(iteration.exchanges, self.rig.slo_file.prices, self.about.model)
        self.spent(usd, dearest_usd=usd)

    def spent(self, usd: float, *, dearest_usd: float) -> None:
        """Count in every budget what iterations cost together, and what the dearest of them cost."""
        self.spent_usd += usd
        for budget in self.budgets:
            budget.spend(usd, dearest_usd=dearest_usd)

    def iteration(
        self, taken: Taken, error: BaseException | None, *, started_s: float, done_s: float
    ) -> Iteration:
        """One run of the body, with what its scope took in and the *error* that ended it, if one did."""
        own_client = self.own_client
        quietly = error is not None and ends_quietly(
            error, taken, expected_json=self.slo.expected_json, own_client=own_client
        )
        if error is not None and quietly and not self.first_invalid:
            self.first_invalid = invalid_reply(error)
        return Iteration(
            started_s=started_s,
            done_s=done_s,
            exchanges=taken.exchanges,
            checks=taken.checks,
            steps=taken.steps,
            passed=None if quietly else error is None,
            json_failed=error is not None
            and not quietly
            and failed_by_json(error, taken, own_client=own_client),
        )

    @property
    def own_client(self) -> bool:
        """Whether requests come from the test's own client, see `ending.request_behind`."""
        return "client" in self.log.facts

    @property
    def measurement(self) -> Measurement:
        """What was measured so far."""
        base = (
            [] if self._held_against is None or self._held_against.missing else self._held_against.iterations
        )
        if self.loaded is None:
            measured = self._measured(self.iterations, in_pairs_with=base)
        else:
            measured = self.loaded.measured(Arm.CANDIDATE)
        if rounds := () if self.benchmark is None else rounds_of(self.benchmark):
            measured = replace(
                measured, iterations=len(rounds), series={**measured.series, series_name("latency"): rounds}
            )
        measured = self._with_view(measured, Arm.CANDIDATE)
        warnings = [
            *measured.warnings,
            *self.remarks,
            *self._remarks(measured),
            *server_story.remarks(measured, aside=self.watch.aside),
            *(text for told in self.log.remarks for text in told()),
            *(() if self.sampler is None else self.sampler.remarks),
            *self.rig.companions.remarks,
        ]
        if self.first_error is not None:
            warnings.append(f"first failing iteration: {one_line(self.first_error)}")
        if self.first_invalid:
            warnings.append(f"first invalid reply: {self.first_invalid}")
        used = Resources() if self.sampler is None else self.sampler.taken
        if self.generators and self.sampler is not None:
            used = made_by(self.generators, seen=used)
        spent_usd = self.spent_usd if self.spent_usd or "cost_usd" in measured.series else None
        return replace(
            measured,
            warmup_latency_s=tuple(self.warmups[-WARMUP_KEPT:]),
            connections=measured.connections + self.log.connections.so_far,
            resources=used,
            spent_usd=spent_usd,
            over_budget=self.over_budget,
            stopped=self.stopped,
            warnings=tuple(warnings),
        )

    def _measured(
        self, iterations: Sequence[Iteration], *, in_pairs_with: Sequence[Iteration] = ()
    ) -> Measurement:
        """All of *iterations*; under ``--llm-ab`` the series hold whole pairs only."""
        prices = self.rig.slo_file.prices
        about = replace(self.about, facts={**self.about.facts, **self.log.facts})
        measured = measure(iterations, about=about, slo=self.slo, prices=prices)
        if not in_pairs_with:
            return measured
        whole, _ = paired(iterations, in_pairs_with)
        return replace(measured, series=measure(whole, about=self.about, slo=self.slo, prices=prices).series)

    def _remarks(self, measured: Measurement) -> Iterator[str]:
        if remark := buffering(measured):
            yield remark
        if remark := cache_remark(measured, self.slo.cache):
            yield remark
        if self._cold is not None and (remark := cache_remark(self._cold, CacheMode.COLD)):
            yield remark

    @property
    def _held_against(self) -> Base | None:
        """The other arm, where it is what this one is compared with."""
        return self.base if self.base is not None and self.base.compared else None

    @property
    def base_measurement(self) -> Measurement | None:
        """What was measured of the other arm so far."""
        if self.base is not None and self.base.missing is None and self.loaded is not None:
            return replace(self.loaded.measured(Arm.BASE), backend=self.base.label)
        if self.base is None or not self.base.iterations:
            return None
        measured = self._measured(self.base.iterations, in_pairs_with=self.iterations)
        return replace(self._with_view(measured, Arm.BASE), backend=self.base.label)

    def _with_view(self, measured: Measurement, arm: Arm) -> Measurement:
        return replace(measured, server=joined(self.watch.views.get(arm), measured.server))

    def judge(self, look: int, looks: tuple[int, ...]) -> Verdict:
        """The verdict at one *look* of *looks*."""
        options, measurement = self.rig.options, self.measurement
        if self.slo.scenario is not None:
            # Judged when every item of it has been measured, at the end of the session.
            return Verdict(outcome=Outcome.SKIPPED, reason=f"part of {self.slo.scenario}", settled=False)
        if options.gate is GateMode.OFF:
            return Verdict(outcome=Outcome.SKIPPED, reason="the gate is off")
        if self.over_budget and not self.count:
            return not_passed(Verdict(outcome=Outcome.SKIPPED, reason=""), measurement)
        if options.quick:
            return not_passed(quick(measurement, self.slo), measurement)
        base = self._held_against
        history = self.history if base is None else as_history(base, self.base_measurement)
        verdict = judge(measurement, self.slo, history, self.rig.terms(look, looks))
        return not_passed(verdict, measurement)

    def end_early(self, error: BaseException) -> None:
        """Skip, xfail, Ctrl-C or exit ended an iteration, and with it the test."""
        at = f"in iteration {self.count + 1}"
        if isinstance(error, (KeyboardInterrupt, pytest.exit.Exception)):
            self.abandon(f"interrupted {at}")
        else:
            word = "xfailed" if isinstance(error, pytest.xfail.Exception) else "skipped"
            self.abandon(f"{word} {at}: {error}")

    def put_away(self) -> None:
        """Nothing more is measured."""
        self.stop_sampling()
        if self.progress is not None:
            self.progress.clear()

    def abandon(self, reason: str) -> None:
        """End without a verdict: what was measured is reported, not judged."""
        self.verdict = Verdict(outcome=Outcome.SKIPPED, reason=reason)

    @property
    def result(self) -> Scenario:
        """What is known of the scenario; one that ended without a verdict has failed."""
        verdict = self.verdict or Verdict(outcome=Outcome.FAILED, reason="measuring ended before a verdict")
        return Scenario(
            measurement=self.measurement,
            slo=replace(self.slo, cases=None, load=None),
            verdict=verdict,
            base=None if self._cold is not None else self.base_measurement,
            cold=self._cold,
            savings=() if self._cold is None else savings(self._warm_pairs, self._cold),
        )

    @property
    def _cold(self) -> Measurement | None:
        """What was measured of cold prompts, under ``--llm-cache=both``."""
        return self.base_measurement if self._held_against is None else None

    @property
    def _warm_pairs(self) -> Measurement:
        """The warm prompts that have a cold one beside them."""
        return self._measured(
            self.iterations, in_pairs_with=[] if self.base is None else self.base.iterations
        )

    def conclude(self) -> None:
        """Fail the test when its verdict says so."""
        __tracebackhide__ = True
        if (failure := self.failure()) is not None:
            raise failure

    def failure(self) -> BaseException | None:
        """What fails the test: its first failing iteration's error, or the verdict in words; else None."""
        result = self.result
        if not self.rig.options.fails(result.verdict.outcome):
            return None
        compared = replace(result, stored=self.history.comparable(result.measurement))
        result = replace(compared, explanation=explanation(compared))
        text = failure_text(result, self.rig.options.strict)
        broken = {check.metric for check in result.verdict.broken}
        told = {"pass_rate", *(metric for metric in broken if metric.startswith(STEP))}
        told |= {"success_rate"} if result.measurement.timed else set()
        if self.first_error is not None and told & broken:
            if isinstance(self.first_error, pytest.fail.Exception) and not self.first_error.pytrace:
                text = f"{self.first_error}\n{text}"  # pytest shows no notes of these
                return pytest.fail.Exception(text, pytrace=False)
            self.first_error.add_note(text)
            return self.first_error
        return pytest.fail.Exception(text, pytrace=False)
