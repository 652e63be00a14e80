"""The timed steps of iterations (``llm_timer``) as samples.

A step is a metric of its own, ``step:NAME``: its times are limited and gated like the latency. Where a
scenario asks no model, its outermost steps are its requests: latency, success_rate, requests_per_s and
goodput are about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pytest_llmperf.core.exchange import Exchange, Failure, FailureKind
from pytest_llmperf.core.iteration import Iteration, TimedStep
from pytest_llmperf.core.metric import STEP, series_name


def as_requests(iterations: Iterable[Iteration]) -> list[Exchange]:
    """The outermost steps, for a scenario that asks no model."""
    return [_as_request(step) for iteration in iterations for step in iteration.steps if step.outermost]


def _as_request(step: TimedStep) -> Exchange:
    failed = (
        None if step.error is None else Failure(kind=FailureKind.STEP, message=f"{step.name}: {step.error}")
    )
    return Exchange(
        due_s=step.due_s, sent_s=step.started_s, done_s=step.done_s, streamed=False, failure=failed
    )


def step_series(iterations: Iterable[Iteration]) -> dict[str, tuple[float, ...]]:
    """The times of the steps that succeeded, by name of the series."""
    series: dict[str, list[float]] = {}
    for iteration in iterations:
        for step in iteration.steps:
            if step.error is None:
                series.setdefault(series_name(STEP + step.name), []).append(step.done_s - step.due_s)
    return {name: tuple(values) for name, values in series.items()}


def step_answers(iterations: Iterable[Iteration]) -> dict[str, list[bool]]:
    """Whether each run of a step succeeded, by the metric's name."""
    answers: dict[str, list[bool]] = {}
    for iteration in iterations:
        for step in iteration.steps:
            answers.setdefault(STEP + step.name, []).append(step.error is None)
    return answers


def excused(iterations: Iterable[Iteration]) -> dict[str, int]:
    """How many runs of each step failed of a request that failed, by the metric's name."""
    return dict(
        Counter(STEP + step.name for iteration in iterations for step in iteration.steps if step.excused)
    )


def outermost(iterations: Iterable[Iteration]) -> tuple[str, ...]:
    """Names of the steps that are part of no other step, in the order in which they came first."""
    names = (step.name for iteration in iterations for step in iteration.steps if step.outermost)
    return tuple(dict.fromkeys(names))


def names_in(series: Iterable[str]) -> tuple[str, ...]:
    """Names of the steps among the names of series."""
    return tuple(name.removeprefix(STEP).removesuffix("_s") for name in series if name.startswith(STEP))
