"""What the fixture ``llm_timer`` gives: named steps of anything, measured like requests to a model."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from pytest_llmperf.client.redact import redact
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.iteration import TimedStep
from pytest_llmperf.iteration_log import IterationLog

P = ParamSpec("P")
R = TypeVar("R")

_ERROR = 300  #: characters that are kept of an error's text

#: The innermost step that the running context is inside of.
_INSIDE: ContextVar[_Run | None] = ContextVar("pytest_llmperf_step", default=None)


class Timer:
    """Makes steps: ``with llm_timer("submit"): ...``, ``async with`` too, or ``@llm_timer("submit")``.

    *counts* says whether what a block raises is a failure of the step, which a skip is not; *excuses*,
    whether a request counts it already.
    """

    def __init__(
        self,
        log: IterationLog,
        *,
        counts: Callable[[BaseException], bool],
        excuses: Callable[[BaseException], bool],
    ) -> None:
        self.log = log
        self.counts = counts
        self.excuses = excuses

    def __call__(self, name: str) -> Step:
        """A step called *name*, to be entered as often as wanted. Raises LlmPerfUsageError."""
        if not str(name).strip():
            raise LlmPerfUsageError(f'llm_timer({name!r}): expected a name, such as llm_timer("submit")')
        return Step(str(name).strip(), self)


class Step:
    """One named step: a context manager, also an asynchronous one, and a decorator."""

    def __init__(self, name: str, timer: Timer) -> None:
        self.name = name
        self._timer = timer
        self.elapsed_s = 0.0  #: of its last run that ended

    @property
    def elapsed_ms(self) -> float:
        """How long the last run took, in milliseconds."""
        return 1000 * self.elapsed_s

    def __enter__(self) -> Self:
        _INSIDE.set(_Run(self.name, self._timer, around=_INSIDE.get()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run = _INSIDE.get()
        assert run is not None
        _INSIDE.set(run.around)
        self.elapsed_s = run.end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """*function*, every call of which is a run of the step; it may be a coroutine function.

        Raises LlmPerfUsageError for a generator, whose call does none of its work.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise LlmPerfUsageError(
                f"llm_timer({self.name!r}): {function.__qualname__} is a generator, and calling one does "
                "nothing yet. Time the loop over it: with llm_timer(...): for item in ..."
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed_coroutine(*arguments: P.args, **words: P.kwargs) -> Any:  # Any: what it awaits
                with Step(self.name, self._timer):
                    return await function(*arguments, **words)

            return cast("Callable[P, R]", timed_coroutine)

        @functools.wraps(function)
        def timed(*arguments: P.args, **words: P.kwargs) -> R:
            with Step(self.name, self._timer):
                return function(*arguments, **words)

        return timed


class _Run:
    """One run of a step, from its start."""

    def __init__(self, name: str, timer: Timer, *, around: _Run | None) -> None:
        self.around = around
        self._timer = timer
        self._name = name
        self._outermost = around is None
        self._own = timer.log.here()
        self._started_s = time.perf_counter()
        self._due_s = self._own.step_due_s(self._started_s) if self._outermost else self._started_s

    def end(self, error: BaseException | None) -> float:
        """Record it; how long it took, in seconds."""
        done_s = time.perf_counter()
        if error is None or self._timer.counts(error):
            step = TimedStep(
                name=self._name,
                due_s=self._due_s,
                started_s=self._started_s,
                done_s=done_s,
                error=None if error is None else _text(error),
                excused=error is not None and self._timer.excuses(error),
                outermost=self._outermost,
            )
            self._own.step(step, error)
        return done_s - self._started_s


def _text(error: BaseException) -> str:
    """*error* in one line, without secrets."""
    first = str(error).strip().partition("\n")[0]
    return redact(f"{type(error).__name__}: {first}" if first else type(error).__name__)[:_ERROR]
