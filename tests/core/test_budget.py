"""Money: what hardware by the hour costs a request, and budgets that are not exceeded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.budget import Budget, cost_at_most, not_passed
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import Tokens
from pytest_llmperf.core.measure import measure
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.pool import pool
from pytest_llmperf.core.price import Price, costs
from pytest_llmperf.core.slo import Slo, parse_arguments
from pytest_llmperf.core.verdict import Verdict

GPU = Price(gpu_hour_usd=3.6)  # a tenth of a cent for a second
TOKENS = Price(output_per_million_usd=1.0)


def test_a_request_alone_pays_for_its_own_time(request_of):
    assert costs([(request_of(0.0, 2.0, tokens=None), GPU)]) == (pytest.approx(0.002),)


def test_requests_at_once_share_the_hour(request_of):
    both = [(request_of(0.0, 2.0), GPU), (request_of(0.0, 1.0), GPU)]
    assert costs(both) == pytest.approx((0.002 * 2 / 3, 0.002 / 3))


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.01, 5)), min_size=1, max_size=8))
def test_shares_add_up_to_what_the_hardware_cost(request_of, spans):
    exchanges = [request_of(due_s, latency_s) for due_s, latency_s in spans]
    busy_s = 0.0
    for moment in range(15_000):
        busy_s += any(one.due_s <= moment / 1000 < one.done_s for one in exchanges) / 1000
    assert sum(costs([(one, GPU) for one in exchanges])) == pytest.approx(busy_s * 0.001, rel=0.3, abs=1e-5)


def test_tokens_and_hours_are_added(request_of):
    price = Price(output_per_million_usd=1.0, gpu_hour_usd=3.6)
    one = request_of(0.0, 1.0, tokens=Tokens(input=0, output=1000))
    assert costs([(one, price)]) == (pytest.approx(0.001 + 0.001),)
    assert price.at_most(one) == pytest.approx(0.002)


def test_a_request_of_unknown_tokens_costs_what_is_not_known(request_of):
    assert costs([(request_of(tokens=None), TOKENS)]) == ()
    assert TOKENS.at_most(request_of(tokens=None)) is None


def test_requests_that_took_no_time_cost_nothing(request_of):
    assert costs([(request_of(0.0, 0.0), GPU)]) == (0.0,)


def test_prices_of_two_models_are_kept_apart(request_of, iteration_of):
    one = iteration_of(request_of(0, 1, model="a"), request_of(0, 1, model="b"), request_of(0, 1, model="c"))
    measured = measure(
        [one], about=Measurement(scenario="s", name="s"), slo=Slo(), prices={"a": GPU, "b": TOKENS}
    )
    assert measured.series["cost_usd"] == pytest.approx((0.001, 6e-6))


def test_a_budget_keeps_back_the_dearest_iteration():
    budget = Budget(limit_usd=1.0)
    assert budget.refusal() is None
    budget.spend(0.4)
    budget.spend(0.2)
    assert budget.refusal() is None  # 0.6 and 0.4 are just the limit
    assert "would be exceeded: $0.60 spent, and one iteration cost up to $0.40" in budget.refusal(2)


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0.5, 3))
def test_a_budget_is_never_exceeded_by_iterations_no_dearer_than_the_dearest_before(iterations, limit_usd):
    budget = Budget(limit_usd=limit_usd)
    dearest = max(iterations)
    budget.spend(0.0)
    budget.dearest_usd = dearest
    for usd in iterations:
        if budget.refusal() is None:
            budget.spend(usd)
    assert budget.spent_usd <= limit_usd + 1e-9


def test_several_iterations_keep_back_the_dearest_of_them():
    budget = Budget(limit_usd=1.0)
    budget.spend(0.6, dearest_usd=0.2)
    assert budget.refusal(2) is None
    assert budget.refusal(3) is not None


@given(st.floats(0.1, 9), st.floats(0, 9), st.integers(1, 9))
def test_shares_of_a_budget_are_together_what_is_left_of_it(limit_usd, spent_usd, processes):
    budget = Budget(limit_usd=limit_usd, spent_usd=spent_usd, dearest_usd=0.01)
    share = budget.share(processes)
    assert share.limit_usd * processes == pytest.approx(max(0.0, limit_usd - spent_usd))
    assert (share.spent_usd, share.dearest_usd) == (0.0, 0.01)
    assert share.name == f"its share, 1 of {processes}, of what was left of max_cost_usd"


def test_a_request_of_unknown_cost_is_as_dear_as_the_dearest_beside_it(request_of):
    known, unknown = request_of(tokens=Tokens(input=0, output=500)), request_of(tokens=None)
    assert cost_at_most([known, unknown], {"m": TOKENS}, "m") == pytest.approx(0.001)
    assert cost_at_most([unknown], {"m": TOKENS}, "m") == 0
    assert cost_at_most([known], {}, "m") == 0


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.IMPROVED, Outcome.NO_BASELINE, Outcome.SKIPPED])
def test_what_a_budget_cut_short_never_passes(outcome):
    measured = Measurement(scenario="s", name="s", iterations=7, over_budget=True, stopped="no more money")
    verdict = not_passed(Verdict(outcome=outcome, reason="fine"), measured)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason == "stopped after 7 iterations: no more money"
    assert verdict.settled


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REGRESSED])
def test_what_was_proven_before_stays_proven(outcome):
    measured = Measurement(scenario="s", name="s", over_budget=True)
    assert not_passed(Verdict(outcome=outcome, reason="slow"), measured).outcome is outcome


def test_a_verdict_within_the_budget_stays():
    verdict = Verdict(outcome=Outcome.PASSED, reason="fine")
    assert not_passed(verdict, Measurement(scenario="s", name="s")) is verdict


def test_pooled_spending_adds_up():
    parts = [
        Measurement(scenario="s", name="s", spent_usd=0.1),
        Measurement(scenario="s", name="s", spent_usd=0.2, over_budget=True),
    ]
    assert pool(parts).spent_usd == pytest.approx(0.3)
    assert pool(parts).over_budget
    assert pool([Measurement(scenario="s", name="s")]).spent_usd is None


@pytest.mark.parametrize("value", [0, -1, "5", True, float("inf"), float("nan")])
def test_a_budget_is_an_amount(value):
    with pytest.raises(LlmPerfUsageError, match="is no number above 0"):
        parse_arguments({"max_cost_usd": value}, where="t")
