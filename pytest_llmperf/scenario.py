"""One scenario: its body is warmed up, repeated and judged, and repeated more while undecided."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import pytest

from pytest_llmperf.client.reply import InvalidJson, RequestFailed
from pytest_llmperf.core import codec, gate
from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.core.explain import failure_text
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.judge import judge, quick
from pytest_llmperf.core.measurement import Measurement, measure
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.display import Progress, progress_of
from pytest_llmperf.iteration_log import IterationLog
from pytest_llmperf.markers import marks_of
from pytest_llmperf.options import GateMode
from pytest_llmperf.rig import Rig
from pytest_llmperf.sharing import INTERRUPTED, RESULT

#: Coroutine functions that close what async fixtures opened, run in the test's own event loop.
ASYNC_CLOSERS = pytest.StashKey[list[Callable[[], Awaitable[None]]]]()

#: Iterations in a row, ended by a server that cannot be reached, after which it counts as gone.
GONE_AFTER = 5
_UNREACHABLE = {kind for kind in FailureKind if kind.value.startswith(("connect", "dns", "tls", "timeout"))}

#: Marks with which an async plugin claims a coroutine function that it runs itself.
_CLAIMED = ("anyio", "trio")

_LOG = pytest.StashKey[IterationLog]()
_SLO = pytest.StashKey[Slo]()
_CASES = pytest.StashKey[Iterator[Any] | None]()


def log_of(item: pytest.Item) -> IterationLog:
    """The item's log, made by the first call."""
    return item.stash.setdefault(_LOG, IterationLog())


def slo_of(item: pytest.Item, rig: Rig) -> Slo:
    """What the item promises. Raises LlmPerfUsageError."""
    if _SLO not in item.stash:
        item.stash[_SLO] = rig.slo(item.nodeid, marks_of(item))
    return item.stash[_SLO]


def cases_of(item: pytest.Item, rig: Rig) -> Iterator[Any] | None:
    """The item's cases, one iterator for all who ask. Raises LlmPerfUsageError."""
    if _CASES not in item.stash:
        item.stash[_CASES] = rig.cases(slo_of(item, rig), directory=item.path.parent, scenario=item.nodeid)
    return item.stash[_CASES]


@contextmanager
def repeated(item: pytest.Function, rig: Rig) -> Iterator[None]:
    """Replace the item's body by its repetition, and leave the result in the item's stash."""
    try:
        repetition = Repetition.of(item, rig)
    except LlmPerfUsageError as error:
        pytest.fail(str(error), pytrace=False)
    body = item.obj
    claimed = any(item.get_closest_marker(name) for name in _CLAIMED)
    item.obj = repetition.body(body, claimed=claimed)
    try:
        with rig.turn():
            yield
    except (pytest.skip.Exception, pytest.xfail.Exception) as error:
        repetition.abandon(
            f"{type(error).__name__.lower()} in iteration {len(repetition.iterations) + 1}: {error}"
        )
        raise
    except (KeyboardInterrupt, pytest.exit.Exception):
        repetition.abandon(f"interrupted in iteration {len(repetition.iterations) + 1}")
        item.config.stash.setdefault(INTERRUPTED, []).append(codec.dumps(repetition.result))
        raise
    finally:
        item.obj = body
        if repetition.progress is not None:
            repetition.progress.clear()
        item.stash[RESULT] = codec.dumps(repetition.result)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One run of the body to come."""

    measured: bool
    arguments: Mapping[str, Any]


@dataclass(kw_only=True)
class Repetition:
    """The repetition of one item's body, and what came of it."""

    rig: Rig
    slo: Slo
    log: IterationLog
    about: Measurement
    history: History
    cases: Iterator[Any] | None = None
    stop_at_once: bool = False  #: --pdb: the debugger is wanted where the first iteration fails
    progress: Progress | None = None
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    iterations: list[Iteration] = field(default_factory=list)
    first_error: BaseException | None = None
    verdict: Verdict | None = None
    stopped: str = ""
    _gone: int = 0  #: iterations in a row that an unreachable server ended

    @classmethod
    def of(cls, item: pytest.Function, rig: Rig) -> Self:
        """The repetition of *item*. Raises LlmPerfUsageError."""
        slo = slo_of(item, rig)
        path, line, _ = item.location
        uses_backend = not {"llm", "async_llm"}.isdisjoint(item.fixturenames)
        about = Measurement(
            scenario=slo.scenario or item.nodeid,
            name=slo.scenario or item.name,
            path=path,
            line=(line or 0) + 1,
            backend=rig.options.backend if uses_backend else "",
            model=(rig.backend.model or "") if uses_backend else "",
            facts=rig.facts if uses_backend else {},
            warmup=slo.warmup,
        )
        return cls(
            rig=rig,
            slo=slo,
            log=log_of(item),
            about=about,
            history=rig.history(about.scenario),
            cases=cases_of(item, rig),
            stop_at_once=bool(item.config.getoption("usepdb", default=False)),
            progress=progress_of(item.config, slo.scenario or item.name),
            closers=item.stash.setdefault(ASYNC_CLOSERS, []),
        )

    def body(self, original: Callable[..., Any], *, claimed: bool) -> Callable[..., Any]:
        """A body that runs *original* as often as it takes and then passes, or fails.

        A coroutine function that an async plugin has *claimed* stays one; another one is run here.
        """
        if not inspect.iscoroutinefunction(original):
            return self._sync(original)
        repeating = self._async(original)
        if claimed:
            return repeating

        @functools.wraps(original)
        def run(**arguments: Any) -> None:
            __tracebackhide__ = True
            with asyncio.Runner() as runner:
                runner.run(repeating(**arguments))

        return run

    def _sync(self, original: Callable[..., Any]) -> Callable[..., None]:
        @functools.wraps(original)
        def repeating(**arguments: Any) -> None:
            __tracebackhide__ = True
            for step in self._steps():
                with _Running(self, measured=step.measured):
                    original(**{**arguments, **step.arguments})
            self._conclude()

        return repeating

    def _async(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Coroutine[Any, Any, None]]:
        @functools.wraps(original)
        async def repeating(**arguments: Any) -> None:
            __tracebackhide__ = True
            try:
                for step in self._steps():
                    with _Running(self, measured=step.measured):
                        await original(**{**arguments, **step.arguments})
            finally:
                for close in self.closers:
                    await close()
            self._conclude()

        return repeating

    def _steps(self) -> Iterator[_Step]:
        for _ in range(self.slo.warmup):
            yield self._step(measured=False)
        self._gone = 0
        looks = self._looks()
        for look, size in enumerate(looks):
            while len(self.iterations) < size and not self.stopped:
                yield self._step(measured=True)
                self._watch(size)
            if self.rig.out_of_time and look < len(looks) - 1 and not self.stopped:
                self.stopped = "--llm-max-time is spent"
            self.verdict = self._judge(look, (*looks[:look], size) if self.stopped else looks)
            if self.verdict.settled:
                return

    def _step(self, *, measured: bool) -> _Step:
        arguments = {} if self.cases is None else {"llm_case": next(self.cases)}
        return _Step(measured=measured, arguments=arguments)

    def _looks(self) -> tuple[int, ...]:
        if self.slo.scenario is not None or self.rig.options.gate is GateMode.PLAIN:
            return (self.slo.iterations,)  # pooled scenarios are judged once, at the end of the session
        return gate.looks(self.slo.iterations, self.slo.max_iterations)

    def _watch(self, size: int) -> None:
        success = self.slo.limit("success_rate", "rate")
        # A limit below 1 expects failures: then it takes a whole first look of them.
        enough = GONE_AFTER if success is None or success.bound == 1 else max(GONE_AFTER, self.slo.iterations)
        if self._gone >= enough:
            self.stopped = f"stopped after {self._gone} iterations in a row found no server"
        if self.progress is not None:
            self.progress.update(len(self.iterations), size)

    def end(self, iteration: Iteration, error: BaseException | None, *, measured: bool) -> None:
        """Take in one run of the body, which *error* ended if it is not None."""
        unreachable = isinstance(error, RequestFailed) and error.failure.kind in _UNREACHABLE
        self._gone = self._gone + 1 if unreachable else 0
        if not measured:
            return
        self.iterations.append(iteration)
        if iteration.passed is False and self.first_error is None:
            self.first_error = error

    def ends_quietly(self, error: BaseException) -> bool:
        """Whether *error* is counted by another metric than pass_rate."""
        return isinstance(error, RequestFailed) or (isinstance(error, InvalidJson) and self.slo.expected_json)

    @property
    def measurement(self) -> Measurement:
        """What was measured so far."""
        price = self.rig.slo_file.prices.get(self.about.model)
        measured = measure(self.iterations, about=self.about, slo=self.slo, price=price)
        warnings = list(measured.warnings)
        if self.first_error is not None:
            warnings.append(f"first failing iteration: {_one_line(self.first_error)}")
        return replace(measured, stopped=self.stopped, warnings=tuple(warnings))

    def _judge(self, look: int, looks: tuple[int, ...]) -> Verdict:
        options, measurement = self.rig.options, self.measurement
        if self.slo.scenario is not None:
            return Verdict(outcome=Outcome.SKIPPED, reason=f"part of {self.slo.scenario}")
        if options.gate is GateMode.OFF:
            return Verdict(outcome=Outcome.SKIPPED, reason="the gate is off")
        if options.quick:
            return quick(measurement, self.slo)
        return judge(measurement, self.slo, self.history, self.rig.terms(look, looks))

    def abandon(self, reason: str) -> None:
        """End without a verdict: what was measured is reported, not judged."""
        self.verdict = Verdict(outcome=Outcome.SKIPPED, reason=reason)

    @property
    def result(self) -> Scenario:
        """What is known of the scenario; one that ended without a verdict has failed."""
        verdict = self.verdict or Verdict(outcome=Outcome.FAILED, reason="measuring ended before a verdict")
        return Scenario(measurement=self.measurement, slo=replace(self.slo, cases=None), verdict=verdict)

    def _conclude(self) -> None:
        """Fail the test when its verdict says so."""
        __tracebackhide__ = True
        result = self.result
        if not self.rig.options.fails(result.verdict.outcome):
            return
        text = failure_text(result, self.rig.options.strict)
        broken = {check.metric for check in result.verdict.broken}
        if self.first_error is not None and "pass_rate" in broken:
            self.first_error.add_note(text)
            raise self.first_error
        pytest.fail(text, pytrace=False)


class _Running:
    """One run of the body: times it, and takes what it raises as the iteration's result."""

    def __init__(self, repetition: Repetition, *, measured: bool) -> None:
        self._repetition = repetition
        self._measured = measured
        self._started_s = 0.0

    def __enter__(self) -> None:
        self._repetition.log.take()
        self._started_s = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        done_s = time.perf_counter()
        repetition = self._repetition
        if error is not None and not _is_result(error):
            return False
        quietly = error is not None and repetition.ends_quietly(error)
        exchanges, checks = repetition.log.take()
        iteration = Iteration(
            started_s=self._started_s,
            done_s=done_s,
            exchanges=exchanges,
            checks=checks,
            passed=None if quietly else error is None,
            json_failed=isinstance(error, InvalidJson) and not quietly,
        )
        repetition.end(iteration, error, measured=self._measured)
        return quietly or not repetition.stop_at_once


def _is_result(error: BaseException) -> bool:
    """Whether *error* says something about this iteration only; others end the item at once."""
    if isinstance(error, pytest.fail.Exception):
        return not isinstance(error, pytest.xfail.Exception)  # which is a kind of failing
    return isinstance(error, Exception)


def _one_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:200]
