from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.exchange import Failure, FailureKind, Tokens, TokenSource
from pytest_llmperf.core.iteration import NamedCheck
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measure import measure
from pytest_llmperf.core.measurement import (
    CheckCount,
    Count,
    FailureCount,
    Measurement,
    TokenTotals,
)
from pytest_llmperf.core.pool import pool
from pytest_llmperf.core.price import Price
from pytest_llmperf.core.slo import build, parse_arguments

ABOUT = Measurement(scenario="test_a.py::test_a", name="test_a", facts={"backend kind": "openai"})
REFUSED = Failure(kind=FailureKind.CONNECT, message="connection refused")
BUSY = Failure(kind=FailureKind.HTTP_STATUS, message="503: busy", status=503)


def measured(*iterations, price=None, **limits):
    slo = build(parse_arguments(limits, where="here"))
    prices = None if price is None else {ABOUT.model: price}
    return measure(iterations, about=ABOUT, slo=slo, prices=prices)


def test_nothing_measured_is_what_it_was_about():
    assert measured() == ABOUT


def test_a_series_holds_the_values_of_successful_requests_in_order(request_of, iteration_of):
    one = measured(
        iteration_of(request_of(0.0, 0.3), request_of(0.5, 9.0, failure=BUSY)),
        iteration_of(request_of(1.0, 0.1)),
    )
    assert one.series["latency_s"] == pytest.approx((0.3, 0.1))


def test_a_failed_request_is_never_a_fast_success(request_of, iteration_of):
    one = measured(iteration_of(request_of(0.0, 0.001, failure=REFUSED), passed=None))
    assert "latency_s" not in one.series


def test_a_series_without_a_value_is_left_out(request_of, iteration_of):
    one = measured(iteration_of(request_of(ttft_s=None, tokens=None)), price=Price(input_per_million_usd=1))
    assert set(one.series) == {"latency_s", "task_s", "wait_s"}


def test_a_task_is_the_wall_time_of_an_iteration_that_passed(iteration_of):
    one = measured(
        iteration_of(took_s=1.0),
        iteration_of(took_s=2.0, passed=False),
        iteration_of(took_s=3.0, passed=None),
    )
    assert one.series["task_s"] == (1.0,)


def test_priced_requests_have_a_cost(request_of, iteration_of):
    one = measured(
        iteration_of(request_of(), request_of(tokens=None)), price=Price(input_per_million_usd=100_000.0)
    )
    assert one.series["cost_usd"] == pytest.approx((1.0,))


def test_one_cause_is_counted_once(request_of, iteration_of):
    one = measured(
        iteration_of(request_of(json_valid=True)),
        iteration_of(request_of(failure=REFUSED), passed=None),
        iteration_of(request_of(json_valid=False), passed=None),
        iteration_of(request_of(json_valid=True), passed=False),
        json_valid=0.5,
    )
    assert one.proportions == {
        "success_rate": Count(successes=3, trials=4),
        "pass_rate": Count(successes=1, trials=2),
        "json_valid": Count(successes=2, trials=3),
    }


def test_a_share_of_nothing_is_left_out(iteration_of):
    assert set(measured(iteration_of()).proportions) == {"pass_rate"}


def test_replies_that_failed_their_iteration_are_counted(request_of, iteration_of):
    broken = iteration_of(request_of(json_valid=False), passed=False, json_failed=True)
    assert measured(broken, broken, iteration_of()).json_failed == 2


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ({"p95_ms": 150}, 2),
        ({"p95_ms": 150, "ttft_p95_ms": 60}, 1),
        ({"p50_ms": 50, "p95_ms": 150}, 2),  # of several percentiles the loosest bounds a request
        ({"p95_ms": 150, "p50_ms": 50}, 2),
        ({"goodput": 0.9, "task_p95_ms": 1}, 3),  # no property of a request
        ({"goodput": 0.9, "output_tokens": 1}, 3),  # no time
        ({"goodput": 0.9}, 3),
    ],
)
def test_goodput_counts_requests_that_meet_every_time_limit(request_of, iteration_of, limits, good):
    one = measured(
        iteration_of(request_of(0, 0.1, ttft_s=0.05), request_of(1, 0.1, ttft_s=0.09), request_of(2, 0.2)),
        iteration_of(request_of(3, 0.01, failure=BUSY), passed=None),
        **limits,
    )
    assert one.proportions["goodput"] == Count(successes=good, trials=4)


def test_a_request_without_a_first_token_cannot_miss_a_limit_on_it(request_of, iteration_of):
    one = measured(iteration_of(request_of(ttft_s=None)), goodput=0.9, ttft_p95_ms=1)
    assert one.proportions["goodput"].rate == 1


@pytest.mark.parametrize("limits", [{}, {"task_p95_ms": 1}, {"output_tokens": 1}])
def test_goodput_is_not_counted_where_nothing_limits_the_time_of_a_request(limits, request_of, iteration_of):
    assert "goodput" not in measured(iteration_of(request_of()), **limits).proportions


def test_tokens_are_told_per_second_in_which_a_request_was_in_flight(request_of, iteration_of):
    one = measured(iteration_of(request_of(0.0, 1.0), request_of(0.5, 1.0), request_of(9.0, 0.5)))
    assert one.busy_s == pytest.approx(2.0)
    assert one.throughput["tokens_per_s"] == pytest.approx(18 / 2.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=30))
def test_busy_time_is_between_the_longest_request_and_their_sum(request_of, iteration_of, spans):
    requests = [request_of(due, took) for due, took in spans]
    busy = measured(iteration_of(*requests)).busy_s
    longest = max(request.latency_s for request in requests)
    assert longest - 1e-9 <= busy <= sum(request.latency_s for request in requests) + 1e-9


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=30), st.randoms())
def test_busy_time_does_not_depend_on_the_order(request_of, iteration_of, spans, random):
    requests = [request_of(due, took) for due, took in spans]
    before = measured(iteration_of(*requests)).busy_s
    random.shuffle(requests)
    assert measured(iteration_of(*requests)).busy_s == before


def test_requests_per_second_count_successes_over_the_time_of_measuring(request_of, iteration_of):
    one = measured(
        iteration_of(request_of(), at_s=0.0, took_s=1.0),
        iteration_of(request_of(), request_of(failure=BUSY), at_s=3.0, took_s=1.0),
    )
    assert one.throughput["requests_per_s"] == pytest.approx(2 / 4.0)


def test_the_cache_hit_rate_is_a_share_of_the_input_tokens(request_of, iteration_of):
    one = measured(iteration_of(request_of(tokens=Tokens(input=100, output=5, cached=80))))
    assert one.throughput["cache_hit_rate"] == pytest.approx(0.8)


def test_what_no_server_told_has_no_throughput(iteration_of):
    assert measured(iteration_of(took_s=0.0)).throughput == {}


def test_tokens_are_summed_and_their_sources_named(request_of, iteration_of):
    one = measured(
        iteration_of(
            request_of(tokens=Tokens(input=1, output=2, cached=1, reasoning=1)),
            request_of(tokens=Tokens(input=3, source=TokenSource.ESTIMATE)),
            request_of(tokens=None),
        )
    )
    assert one.tokens == TokenTotals(
        input=4, output=2, cached=1, reasoning=1, sources=(TokenSource.SERVER, TokenSource.ESTIMATE)
    )


def test_failures_are_counted_by_kind_the_most_common_first(request_of, iteration_of):
    again = Failure(kind=FailureKind.CONNECT, message="again")
    one = measured(
        iteration_of(request_of(failure=BUSY), request_of(failure=REFUSED), request_of(failure=again))
    )
    assert one.failures == (
        FailureCount(kind="connect", count=2, example="connection refused"),
        FailureCount(kind="http_status", count=1, example="503: busy"),
    )
    assert (one.sent, one.failed) == (3, 3)


def test_named_checks_are_counted_per_label(iteration_of):
    one = measured(
        iteration_of(
            checks=(
                NamedCheck(name="route", passed=True, label="health"),
                NamedCheck(name="route", passed=False, label="finance"),
            )
        ),
        iteration_of(checks=(NamedCheck(name="route", passed=False, label="health"),)),
    )
    assert one.checks == (
        CheckCount(name="route", label="health", count=Count(successes=1, trials=2)),
        CheckCount(name="route", label="finance", count=Count(successes=0, trials=1)),
    )


@pytest.mark.parametrize(
    ("streamed", "fact"), [((True, True), "on"), ((False,), "off"), ((True, False), "mixed")]
)
def test_whether_replies_were_streamed_is_a_fact(request_of, iteration_of, streamed, fact):
    one = measured(iteration_of(*(request_of(streamed=each) for each in streamed)))
    assert one.facts == {"backend kind": "openai", "streaming": fact}


def test_the_model_is_the_one_that_answered(request_of, iteration_of):
    one = measured(iteration_of(request_of(model="not this", failure=BUSY), request_of(model="qwen")))
    assert (one.model, one.facts["model"]) == ("qwen", "qwen")


def test_a_share_without_a_trial_is_no_number():
    assert math.isnan(Count().rate)


def test_the_parts_of_a_pooled_scenario_add_up(request_of, iteration_of):
    check = NamedCheck(name="route", passed=True)
    first = measured(
        iteration_of(request_of(0, 0.1), request_of(1, 0.1, failure=BUSY), took_s=2.0, checks=(check,))
    )
    second = measured(
        iteration_of(
            request_of(5, 0.2, failure=REFUSED), request_of(6, 0.3, failure=BUSY), at_s=5, took_s=2.0
        ),
        iteration_of(request_of(8, 0.3), at_s=8, took_s=1.0, checks=(check,)),
    )
    one = pool([first, second])
    assert one.iterations == 3
    assert one.series["latency_s"] == pytest.approx((0.1, 0.3))
    assert one.proportions["success_rate"] == Count(successes=2, trials=5)
    assert one.checks == (CheckCount(name="route", label=None, count=Count(successes=2, trials=2)),)
    assert one.failures == (
        FailureCount(kind="http_status", count=2, example="503: busy"),
        FailureCount(kind="connect", count=1, example="connection refused"),
    )
    assert (one.sent, one.failed) == (5, 3)
    assert (one.tokens.input, one.tokens.output) == (20, 12)
    assert one.busy_s == pytest.approx(0.4)
    assert one.wall_s == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("items", "same"), [("ab", True), ("ba", True), ("a", False), ("abc", False), ("ac", False)]
)
def test_a_pool_knows_which_items_it_is_made_of(items, same):
    def pooled(names):
        return pool([Measurement(scenario="router", name="router", facts={"items": name}) for name in names])

    assert (pooled(items).facts["items"] == pooled("ab").facts["items"]) is same
    assert pooled(items).facts["items"].startswith(f"{len(items)} (")


@pytest.mark.parametrize(
    ("mixed", "busy_s", "wall_s"), [(False, 5.0, 9.0), (True, 5.0, 5.0)], ids=["one after another", "at once"]
)
def test_the_times_of_parts_add_up_unless_they_ran_at_once(mixed, busy_s, wall_s):
    load = LoadReport(profile="4 users", mixed=mixed)
    parts = [
        Measurement(scenario="a", name="a", busy_s=3.0, wall_s=4.0, load=load),
        Measurement(scenario="a", name="a", busy_s=2.0, wall_s=5.0, load=load),
    ]
    one = pool(parts)
    assert (one.busy_s, one.wall_s) == (busy_s, wall_s)


def test_parts_that_ran_at_once_are_no_longer_in_flight_than_they_ran():
    load = LoadReport(profile="4 users", mixed=True)
    part = Measurement(scenario="a", name="a", busy_s=3.0, wall_s=4.0, load=load)
    assert pool([part, part]).busy_s == 4.0


def test_a_pool_of_one_is_that_one(request_of, iteration_of):
    one = measured(iteration_of(request_of(model="qwen", json_valid=True)))
    assert pool([one]) == one


def test_why_parts_stopped_and_what_they_warn_of_is_said_once():
    parts = [
        Measurement(scenario="a", name="a", stopped="no server", warnings=("slow",)),
        Measurement(scenario="a", name="a"),
        Measurement(scenario="a", name="a", stopped="no server", warnings=("slow", "hot"), json_failed=2),
    ]
    one = pool(parts)
    assert (one.stopped, one.warnings, one.json_failed) == ("no server", ("slow", "hot"), 2)


def test_parts_that_ran_under_other_conditions_are_mixed():
    parts = [
        Measurement(scenario="a", name="a", facts={"hardware": "L4"}),
        Measurement(scenario="a", name="a", facts={"hardware": "L4", "streaming": "on"}),
        Measurement(scenario="a", name="a", facts={"hardware": "L4", "streaming": "off"}),
    ]
    assert pool(parts).facts == {"hardware": "L4", "streaming": "mixed"}


def test_requests_are_priced_by_the_model_that_was_asked(request_of, iteration_of):
    tokens = Tokens(input=1_000_000, output=0)
    asked = [request_of(tokens=tokens, model=model) for model in ("small", "large", "unpriced")]
    prices = {"small": Price(input_per_million_usd=1), "large": Price(input_per_million_usd=5)}
    one = measure([iteration_of(*asked)], about=ABOUT, slo=build({}), prices=prices)
    assert one.series["cost_usd"] == pytest.approx((1, 5))


def test_all_the_models_that_were_asked_are_named(request_of, iteration_of):
    asked = [request_of(model=model) for model in ("small", "large", "small")]
    assert measured(iteration_of(*asked)).model == "small + large"


@pytest.mark.parametrize(
    ("name", "setup", "subject"),
    [
        ("test_x", "", "test_x"),
        ("a.py::test_x[3B]", "3B", "a.py::test_x"),
        ("a.py::test_x[tr-3B]", "3B", "a.py::test_x[tr]"),
        ("router[3B]", "3B", "router"),
        ("a.py::test_x[tr]", "3B", "a.py::test_x[tr]"),
        ("a.py::test_x", "3B", "a.py::test_x"),
    ],
)
def test_a_scenario_is_known_without_its_set_up(name, setup, subject):
    assert Measurement(scenario=name, name=name, setup=setup).subject == subject
