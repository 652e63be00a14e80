"""One scenario of a load run, and its samples."""

from __future__ import annotations

import inspect
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from pytest_llmperf.ab.arms import Arm, in_turns
from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.core.column import Column
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.load import Load
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.steps import as_requests
from pytest_llmperf.core.tally import Tally
from pytest_llmperf.ending import UNREACHABLE, cause_of
from pytest_llmperf.load.control import Control
from pytest_llmperf.load.lately import Lately
from pytest_llmperf.load.probe import Probe
from pytest_llmperf.measuring import GONE_AFTER, Measuring


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One iteration to come."""

    arm: Arm
    pair: int  #: iterations of both arms with the same number are a pair, under ``--llm-ab``
    arguments: Mapping[str, Any]


class Member:
    """One scenario of a load run, and its samples; iterations may end on any thread."""

    def __init__(self, measuring: Measuring, body: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self.measuring = measuring
        self.body = body
        self.is_coroutine = inspect.iscoroutinefunction(body)
        self._arguments = arguments
        self._lock = threading.Lock()
        self._steps = self._endless()
        self._tallies = {arm: self._tally() for arm in Arm}
        self._halves: dict[int, tuple[Arm, Iteration]] = {}  #: pairs of which one arm is still missing
        self._gone = 0
        self.lately = Lately()
        self.chunks = 0
        self.late_chunks = 0
        self.loose = 0
        self.begun = 0  #: measured iterations of both arms, those included that do not end
        self.ended = 0
        self.count = 0  #: of the candidate's
        self.requests = 0
        self.report: LoadReport | None = None
        #: What another process needs to put parts together, see `Tally.columns`.
        self.columns: tuple[dict[str, Column], tuple[Column, Column]] | None = None
        self._cached: dict[Arm, Measurement] = {}

    def _tally(self) -> Tally:
        measuring = self.measuring
        return Tally(about=measuring.about, slo=measuring.slo, prices=measuring.rig.slo_file.prices)

    @property
    def load(self) -> Load:
        """What the test's own ``llm_load`` says."""
        load = self.measuring.slo.load
        assert load is not None
        return load

    @property
    def is_paired(self) -> bool:
        """Whether there are two arms, that share the load."""
        return self.measuring.base is not None and self.measuring.base.missing is None

    def next_step(self, *, measured: bool) -> Step:
        """What the next iteration is given."""
        with self._lock:
            self.begun += measured
            return next(self._steps)

    def _endless(self) -> Iterator[Step]:
        measuring = self.measuring
        rng = Random(f"{measuring.rig.seed} {measuring.about.scenario} arms")  # noqa: S311 - an order
        for pair in itertools.count():
            case = {} if measuring.cases is None else {"llm_case": next(measuring.cases)}
            arguments = {**self._arguments, **case}
            for arm in in_turns(rng) if self.is_paired else (Arm.CANDIDATE,):
                yield Step(arm=arm, pair=pair, arguments=arguments)

    def end(
        self,
        iteration: Iteration,
        error: BaseException | None,
        step: Step,
        *,
        control: Control,
        probe: Probe,
    ) -> None:
        """Take in one measured iteration, which *error* ended if it is not None."""
        with self._lock:
            if control.closed:
                return  # its thread took longer than it was given, and was counted as interrupted
            self.ended += 1
            self.requests += len(iteration.exchanges)
            for exchange in iteration.exchanges:
                self.chunks += len(exchange.chunk_s)
                self.late_chunks += probe.late_among(exchange.chunk_s)
            asks_a_model = self.measuring.about.backend or iteration.exchanges
            for request in iteration.exchanges if asks_a_model else as_requests([iteration]):
                failed = request.failure is not None
                self.lately.add(request.done_s, math.nan if failed else request.latency_s)
            self._keep(iteration, step)
            self.measuring.spend(iteration)
            if step.arm is Arm.CANDIDATE:
                self.count += 1
                own = iteration.passed is False or (error is not None and cause_of(error) is None)
                if own and self.measuring.first_error is None:
                    self.measuring.first_error = error
            cause = None if error is None else cause_of(error)
            gone = isinstance(cause, RequestFailed) and cause.failure.kind in UNREACHABLE
            self._gone = self._gone + 1 if gone else 0
        if self._gone >= GONE_AFTER + control.peak:
            control.stop(f"{self._gone} iterations in a row found no server")

    def _keep(self, iteration: Iteration, step: Step) -> None:
        if not self.is_paired:
            self._tallies[step.arm].add(iteration)
            return
        other = self._halves.pop(step.pair, None)
        if other is None:
            self._halves[step.pair] = step.arm, iteration
            return
        both = {step.arm: iteration, other[0]: other[1]}
        whole = len({len(one.exchanges) for one in both.values()}) == 1 and all(
            exchange.failure is None for one in both.values() for exchange in one.exchanges
        )
        for arm, one in both.items():
            self._tallies[arm].add(one) if whole else self._tallies[arm].add_unpaired(one)

    def finish(
        self, report: Callable[[Member, Tally], LoadReport], *, began_s: float, in_columns: bool
    ) -> None:
        """The run that began at *began_s* is over: what no iteration can be told for counts for the scenario.

        *in_columns*: whether `columns` are wanted.
        """
        with self._lock:
            loose = self.measuring.log.loose.take()
            self.loose = len(loose.exchanges)
            self._tallies[Arm.CANDIDATE].add_loose(loose.exchanges, loose.checks, loose.steps)
            for arm, iteration in self._halves.values():
                self._tallies[arm].add_unpaired(iteration)
            self._halves.clear()
            tally = self._tallies[Arm.CANDIDATE]
            self.report = report(self, tally)
            if in_columns:
                self.columns = tally.columns(began_s)

    def measured(self, arm: Arm) -> Measurement:
        """What was measured of *arm* so far."""
        if arm in self._cached:
            return self._cached[arm]
        with self._lock:
            measured = replace(self._tallies[arm].measurement(), load=self.report)
        if self.loose:
            told = f"{self.loose} requests came from threads of the test's own: they count for no iteration"
            measured = replace(measured, warnings=(*measured.warnings, told))
        if self.report is not None:
            self._cached[arm] = measured
            self._tallies[arm] = self._tally()
        return measured
