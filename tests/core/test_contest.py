from __future__ import annotations

import pytest

from pytest_llmperf.core.contest import contest
from pytest_llmperf.core.measurement import CheckCount, Count, Measurement, TokenTotals
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.core.yardsticks import WEIGHTS, Yardsticks


def scenario(name, setup, *, latency=0.1, passed=30, outcome=Outcome.PASSED, **series):
    label = f"[{setup}]" if setup else ""
    measured = Measurement(
        scenario=f"a.py::{name}{label}",
        name=f"{name}{label}",
        setup=setup,
        series={"latency_s": (latency,) * 30, **{key: (value,) * 30 for key, value in series.items()}},
        proportions={"pass_rate": Count(successes=passed, trials=30)},
    )
    return Scenario(measurement=measured, slo=Slo(), verdict=Verdict(outcome=outcome, reason=""))


def compared(*scenarios, weights=WEIGHTS):
    return contest(Run(started="", scenarios=scenarios, yardsticks=Yardsticks(weights=weights)))


def test_one_set_up_is_no_contest():
    assert compared(scenario("test_a", ""), scenario("test_b", "")) is None
    assert compared(scenario("test_a", "3B"), scenario("test_b", "3B")) is None


def test_scenarios_are_rows_and_set_ups_stand_side_by_side():
    found = compared(*(scenario(name, setup) for setup in ("3B", "8B") for name in ("test_a", "test_b")))
    assert [(row.name, [entry.setup for entry in row.entries]) for row in found.rows] == [
        ("test_a", ["3B", "8B"]),
        ("test_b", ["3B", "8B"]),
    ]


def test_a_scenario_that_asks_no_model_takes_no_part():
    found = compared(scenario("test_a", "3B"), scenario("test_a", "8B"), scenario("test_alone", ""))
    assert [row.name for row in found.rows] == ["test_a"]


def best(found, name):
    return {entry.setup for entry in found.rows[0].entries if name in entry.best}


def test_the_fastest_is_the_best_in_time_and_the_highest_in_shares():
    found = compared(scenario("t", "a", latency=0.1, passed=20), scenario("t", "b", latency=0.2, passed=30))
    assert (best(found, "p95"), best(found, "pass_rate")) == ({"a"}, {"b"})


def test_what_is_within_five_per_cent_shares_the_mark():
    found = compared(
        *(scenario("t", setup, latency=value) for setup, value in (("a", 0.1), ("b", 0.104), ("c", 0.2)))
    )
    assert best(found, "p95") == {"a", "b"}


def test_nobody_is_best_where_all_are_alike():
    found = compared(scenario("t", "a", latency=0.1), scenario("t", "b", latency=0.104))
    assert best(found, "p95") == set()


def test_a_quantity_that_only_one_has_marks_nobody_and_scores_nothing():
    found = compared(scenario("t", "a", cost_usd=1.0), scenario("t", "b"))
    assert (best(found, "cost_usd"), found.scores) == (set(), {"a": 1.0, "b": 1.0})


def test_a_score_is_the_weighted_mean_of_the_nearness_to_the_best():
    found = compared(
        scenario("t", "a", latency=0.1, passed=15),
        scenario("t", "b", latency=0.2, passed=30),
        weights={"p95": 3, "pass_rate": 1},
    )
    assert found.scores == pytest.approx({"a": (3 * 1 + 0.5) / 4, "b": (3 * 0.5 + 1) / 4})


def test_a_weight_of_zero_takes_a_quantity_out():
    found = compared(
        scenario("t", "a", latency=0.1, passed=15),
        scenario("t", "b", latency=0.2, passed=30),
        weights={"p95": 0, "pass_rate": 1},
    )
    assert (found.winner, found.weights) == ("b", {"pass_rate": 1})


def test_nothing_that_all_have_measured_gives_no_recommendation():
    found = compared(scenario("t", "a"), scenario("u", "b"), weights={"p95": 1})
    assert (found.scores, found.winner) == ({}, None)
    assert found.recommendation.startswith("no recommendation")


def test_the_highest_score_is_recommended():
    found = compared(scenario("t", "a", latency=0.1), scenario("t", "b", latency=0.2))
    assert found.winner == "a"
    assert found.recommendation == "recommended: a; scores: a 1.00, b 0.75"


def test_scores_that_are_alike_have_no_winner():
    found = compared(scenario("t", "a", latency=0.1), scenario("t", "b", latency=0.101))
    assert found.winner is None
    assert found.recommendation.startswith("no clear winner between a and b")


def test_what_breaks_a_gate_is_not_recommended_however_fast_it_is():
    found = compared(scenario("t", "a", latency=0.1, outcome=Outcome.FAILED), scenario("t", "b", latency=0.2))
    assert found.winner == "b"
    assert found.recommendation.endswith("; a breaks the gate of t")


def test_where_every_set_up_breaks_a_gate_none_is_recommended():
    found = compared(*(scenario("t", setup, outcome=Outcome.REGRESSED) for setup in "ab"))
    assert found.winner is None
    assert found.recommendation.startswith("none can be recommended: each breaks a gate")


def test_many_broken_gates_are_counted():
    names = ["t1", "t2", "t3", "t4"]
    found = compared(
        *(scenario(name, "a", outcome=Outcome.FAILED) for name in names),
        *(scenario(name, "b") for name in names),
    )
    assert "a breaks the gate of t1, t2, t3 and 1 more" in found.recommendation


def test_what_costs_nothing_is_as_near_as_can_be():
    found = compared(
        scenario("t", "a", cost_usd=0.0), scenario("t", "b", cost_usd=1.0), weights={"cost_usd": 1}
    )
    assert found.scores == {"a": 1.0, "b": 0.0}


def test_named_checks_are_compared_all_together():
    checks = [
        CheckCount(name="route", label=label, count=Count(successes=successes, trials=10))
        for label, successes in (("finance", 5), ("law", 10))
    ]
    measured = Measurement(
        scenario="t[a]",
        name="t[a]",
        setup="a",
        checks=tuple(checks),
        tokens=TokenTotals(output=100),
        busy_s=2.0,
    )
    one = Scenario(measurement=measured, slo=Slo(), verdict=Verdict(outcome=Outcome.PASSED, reason=""))
    values = compared(one, scenario("t", "b")).rows[0].entries[0].values
    assert values == {"accuracy": 0.75, "tokens_per_s": 50.0}
