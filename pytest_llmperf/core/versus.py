"""Measured values against published figures, and against what is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.promise import judge_limit
from pytest_llmperf.core.quantity import show_apart
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import Limit
from pytest_llmperf.core.terms import ONE_LOOK
from pytest_llmperf.core.verdict import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """One measured value against one published figure."""

    scenario: str
    reference: str
    label: str  #: of the quantity: ``p95``, ``ttft p95``
    unit: str
    observed: float
    published: float
    improvement: float  #: 0.25 is 25 % better than published, -0.25 is 25 % worse


def versus(run: Run) -> list[Versus]:
    """Every figure of every reference against every scenario of *run* that measured it, in order."""
    return [
        Versus(
            scenario=scenario.measurement.scenario,
            reference=reference.name,
            label=check.label,
            unit=check.unit,
            observed=check.observed,
            published=figure.bound,
            improvement=_improvement(figure, check.observed),
        )
        for scenario in run.scenarios
        for reference in run.yardsticks.references
        for figure in reference.figures
        if (check := _held(scenario, figure)).observed is not None
    ]


def _held(scenario: Scenario, limit: Limit) -> Check:
    return judge_limit(scenario.measurement, limit, ONE_LOOK).check


def _improvement(figure: Limit, observed: float) -> float:
    change = (observed - figure.bound) / figure.bound if figure.bound else 0.0
    return change if METRICS[figure.metric].higher_is_better else -change


def keep_small(run: Run) -> list[str]:
    """A line per model: keep it, or try a bigger one, by ``comparison.keep_small`` of slo.yaml.

    A model fails where the point estimate of a scenario does: this is a look, no gate. Too slow and
    not good enough are different answers, since a bigger model is slower still.
    """
    limits = run.yardsticks.keep_small
    groups: dict[str, list[Scenario]] = {}
    for scenario in run.scenarios:
        measured = scenario.measurement
        if measured.sent:
            groups.setdefault(measured.setup or measured.model or measured.backend, []).append(scenario)
    return [_kept(who, scenarios, limits) for who, scenarios in groups.items()] if limits else []


def _kept(who: str, scenarios: Sequence[Scenario], limits: Sequence[Limit]) -> str:
    held = [
        (scenario, limit, check)
        for scenario in scenarios
        for limit in limits
        if (check := _held(scenario, limit)).observed is not None
    ]
    if not held:
        return f"{who}: no word on its size, nothing of {_keys(limits)} was measured"
    missed = [(scenario, limit, check) for scenario, limit, check in held if not _meets(limit, check)]
    poor = any(METRICS[limit.metric].shape is Shape.PROPORTION for _, limit, _ in missed)
    slow = any(METRICS[limit.metric].shape is not Shape.PROPORTION for _, limit, _ in missed)
    details = "; ".join(_missed(scenario, limit, check) for scenario, limit, check in missed[:3])
    if poor and slow:
        return f"{who}: needs a bigger model and faster hardware ({details})"
    if poor:
        return f"{who}: try a bigger model ({details})"
    if slow:
        return f"{who}: too slow here, and a bigger model is slower still ({details})"
    return f"{who}: keep small, it meets {_keys(limits)} in every scenario"


def _meets(limit: Limit, check: Check) -> bool:
    observed = check.observed or 0.0
    return observed >= limit.bound if METRICS[limit.metric].higher_is_better else observed <= limit.bound


def _missed(scenario: Scenario, limit: Limit, check: Check) -> str:
    sign = "<" if METRICS[limit.metric].higher_is_better else ">"
    observed, bound = show_apart(check.observed, limit.bound, check.unit)
    return f"{check.label} {observed} {sign} {bound} in {scenario.measurement.name}"


def _keys(limits: Sequence[Limit]) -> str:
    return ", ".join(limit.key for limit in limits)
