"""The verdict on scripted series. The statistics behind it have tests of their own."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.column import Column
from pytest_llmperf.core.judge import judge, quick
from pytest_llmperf.core.measurement import CheckCount, Count, Measurement, TokenTotals
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.slo import build, parse_arguments
from pytest_llmperf.core.terms import ONE_LOOK, Rule, Terms
from pytest_llmperf.core.verdict import CheckKind

FACTS = {"backend kind": "openai", "hardware": "L4", "streaming": "on", "model": "qwen"}
LOOKS = (30, 60, 120, 240, 480)
STORED = "main@3f2c1a9 and 2 more runs"


def times(middle_s=0.1, n=60, *, spread=0.2):
    """*n* times from 10 % below to 10 % above the middle, in an order that neither rises nor falls."""
    return tuple(middle_s * (1 + spread * ((7 * i % n) / (n - 1) - 0.5)) for i in range(n))


def wild(n):
    """*n* times of a long tail, on which 30 samples say little about p95; neighbours are unlike."""
    step = next(step for step in range(round(0.38 * n), n) if math.gcd(step, n) == 1)
    return tuple(0.1 * math.exp(0.25 * NormalDist().inv_cdf(((step * i) % n + 0.5) / n)) for i in range(n))


def doubtful():
    return measured(n=30, series={"latency_s": wild(30)}), stored(series={"latency_s": wild(201)})


def all_of(n):
    return Count(successes=n, trials=n)


def measured(middle_s=0.1, n=60, *, spread=0.2, **more):
    latency = times(middle_s, n, spread=spread)
    fields = {
        "scenario": "test_a.py::test_router",
        "name": "test_router",
        "facts": FACTS,
        "iterations": n,
        "series": {"latency_s": latency, "task_s": latency},
        "proportions": {"success_rate": all_of(n), "pass_rate": all_of(n)},
        "sent": n,
    }
    return Measurement(**{**fields, **more})


def stored(middle_s=0.1, n=200, *, runs=3, spread=0.2, **more):
    one = StoredRun(
        scenario="test_a.py::test_router",
        saved="2026-05-04T10:00:00Z",
        commit="3f2c1a9",
        branch="main",
        facts=FACTS,
        series={"latency_s": times(middle_s, n, spread=spread)},
        proportions={"success_rate": all_of(n), "pass_rate": all_of(n)},
    )
    return History(runs=(replace(one, **more),) * runs)


def slo(**arguments):
    return build(parse_arguments(arguments, where="here"))


def check_of(verdict, metric, statistic="rate", kind=CheckKind.LIMIT):
    found = [
        check
        for check in verdict.checks
        if (check.metric, check.statistic, check.kind) == (metric, statistic, kind)
    ]
    assert len(found) == 1
    return found[0]


def compared(verdict, metric="latency", statistic="p95"):
    return check_of(verdict, metric, statistic, CheckKind.REGRESSION)


# Every class of outcome


def test_unchanged_code_within_its_limits_passes():
    verdict = judge(measured(n=200), slo(p95_ms=150), stored())
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "every limit holds, no regression")


def test_code_that_became_much_faster_is_improved():
    verdict = judge(measured(0.05, n=200), slo(p95_ms=150), stored())
    assert verdict.outcome is Outcome.IMPROVED
    assert verdict.reason == (
        f"p95 54.5 ms (n=200), baseline 109 ms ({STORED}, n=600), x0.50, limit x1.10: proven"
    )


def test_nothing_stored_is_no_baseline():
    verdict = judge(measured(), slo(p95_ms=150), History())
    assert verdict.outcome is Outcome.NO_BASELINE
    assert verdict.reason == "no baseline stored yet: pytest --save-baseline stores one"


def test_other_conditions_are_not_comparable():
    verdict = judge(measured(), slo(p95_ms=150), stored(facts={**FACTS, "hardware": "T4"}))
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert verdict.reason == (
        "the stored baseline is not comparable (hardware: T4 then, L4 now): "
        "pytest --save-baseline stores one that is"
    )


def test_a_history_may_be_incomparable_as_a_whole():
    verdict = judge(measured(), slo(), replace(stored(), incomparable="git:main has no such test"))
    assert (verdict.outcome, verdict.reason) == (Outcome.NOT_COMPARABLE, "git:main has no such test")


def test_what_the_samples_cannot_tell_is_inconclusive():
    measurement, history = doubtful()
    verdict = judge(measurement, slo(p95_ms=500), history, Terms(looks=LOOKS))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "x0.98, limit x1.10: too uncertain to say: takes about 40 more requests, more stored runs or " in (
        verdict.reason
    )
    assert verdict.reason.endswith(" % shows yet)")


def test_past_the_limit_without_proof_is_unproven():
    verdict = judge(measured(0.115, n=30), slo(p95_ms=500), stored(n=30, runs=1))
    assert verdict.outcome is Outcome.UNPROVEN
    assert "x1.15, limit x1.10: +15 %, not proven: takes more stored runs or --llm-ab (" in verdict.reason


def test_so_few_that_they_prove_nothing_are_said_to():
    verdict = judge(measured(0.3, n=12), slo(p95_ms=500), stored(n=12, runs=1))
    assert verdict.outcome is Outcome.UNPROVEN
    assert verdict.reason.endswith("takes more stored runs or --llm-ab (so few prove no rise at all yet)")


def test_a_proven_regression_has_regressed():
    verdict = judge(measured(0.15), slo(p95_ms=500), stored())
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.reason == (
        f"p95 164 ms (n=60), baseline 109 ms ({STORED}, n=600), x1.50, limit x1.10: proven"
    )


def test_a_broken_limit_has_failed():
    verdict = judge(measured(0.15), slo(p95_ms=150), stored(0.15))
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == "p95 164 ms > 150 ms (n=60, 95 % interval from 161 ms up)"


def test_a_baseline_that_cannot_be_trusted_has_failed():
    verdict = judge(measured(), slo(p95_ms=150), History(problem="a.json was changed. Restore it."))
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, "a.json was changed. Restore it.")


def test_nothing_at_all_is_skipped_in_words():
    verdict = judge(Measurement(scenario="a", name="a"), slo(gate=[]), History())
    assert (verdict.outcome, verdict.reason) == (
        Outcome.SKIPPED,
        "nothing was measured that could be judged",
    )


def test_a_failed_limit_is_worse_than_a_regression():
    verdict = judge(measured(0.15), slo(p95_ms=150), stored())
    assert verdict.outcome is Outcome.FAILED
    assert {check.outcome for check in verdict.broken} == {Outcome.FAILED, Outcome.REGRESSED}


def test_several_doubts_are_named_after_the_first():
    history = stored(n=30, runs=1, series={"latency_s": times(n=30), "task_s": times(n=30)})
    verdict = judge(measured(0.115, n=30), slo(gate=["p95_ms", "task_p95_ms"]), history)
    assert verdict.reason.startswith("p95 125 ms (n=30), baseline 109 ms")
    assert verdict.reason.endswith(" · likewise task p95")


@pytest.mark.parametrize(
    ("factor", "outcome"), [(1.39, Outcome.UNPROVEN), (1.41, Outcome.UNPROVEN), (1.43, Outcome.REGRESSED)]
)
def test_a_proof_takes_one_chance_in_5000(factor, outcome):
    # At 1.39 chance alone would do this four times in 10 000, at 1.41 five times in 20 000.
    slow = measured(series={"latency_s": tuple(factor * value for value in wild(60))})
    verdict = judge(slow, slo(), stored(series={"latency_s": wild(201)}), Terms(run_effect=0.05))
    assert compared(verdict).outcome is outcome


# Looks


@pytest.mark.parametrize("look", range(len(LOOKS) - 1))
def test_what_is_undecided_asks_for_more_until_the_last_look(look):
    measurement, history = doubtful()
    assert not judge(measurement, slo(p95_ms=500), history, Terms(look=look, looks=LOOKS)).settled


def test_the_last_look_settles_everything():
    measurement, history = doubtful()
    verdict = judge(measurement, slo(p95_ms=500), history, Terms(look=4, looks=LOOKS))
    assert (verdict.outcome, verdict.settled) == (Outcome.INCONCLUSIVE, True)


def test_a_broken_limit_is_settled_at_the_first_look():
    measurement, history = doubtful()
    verdict = judge(measurement, slo(p95_ms=20), history, Terms(looks=LOOKS))
    assert (verdict.outcome, verdict.settled) == (Outcome.FAILED, True)


def test_a_limit_that_the_samples_straddle_asks_for_more():
    # Three of thirty are too slow, where one or two may be.
    verdict = judge(measured(n=30), slo(p95_ms=108), History(), Terms(looks=LOOKS))
    check = check_of(verdict, "latency", "p95")
    assert (check.outcome, verdict.settled) == (Outcome.INCONCLUSIVE, False)
    assert check.reason.startswith("p95 109 ms > 108 ms")


def test_at_the_last_look_the_point_estimate_decides_and_says_so():
    verdict = judge(measured(n=30), slo(p95_ms=108), History(), Terms(look=1, looks=(15, 30)))
    assert check_of(verdict, "latency", "p95").outcome is Outcome.FAILED
    assert "p95: close to the limit" in verdict.warnings


def test_a_share_that_straddles_its_limit_asks_for_more():
    shares = {"success_rate": all_of(30), "pass_rate": Count(successes=28, trials=30)}
    verdict = judge(measured(n=30, proportions=shares), slo(pass_rate=0.95), History(), Terms(looks=LOOKS))
    assert (check_of(verdict, "pass_rate").outcome, verdict.settled) == (Outcome.INCONCLUSIVE, False)


def test_plain_success_is_settled_at_the_first_look():
    quiet = measured(n=30, spread=0.02)
    assert judge(quiet, slo(p95_ms=150), stored(spread=0.02), Terms(looks=LOOKS)).settled


# Rules


def test_while_a_baseline_is_saved_nothing_is_compared():
    verdict = judge(measured(0.15), slo(p95_ms=500), stored(), Terms(rule=Rule.NONE))
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "every limit holds")


def test_the_plain_rule_fails_what_is_not_proven():
    verdict = judge(measured(0.115, n=30), slo(), stored(n=30, runs=1), Terms(rule=Rule.PLAIN))
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.reason == ("p95 125 ms (n=30), baseline 109 ms (main@3f2c1a9, n=30), x1.15, limit x1.10")


def test_the_plain_rule_says_how_often_it_fails_unchanged_code():
    runs = stored(runs=2).runs + stored(0.12, runs=1).runs
    verdict = judge(measured(), slo(), History(runs=runs), Terms(rule=Rule.PLAIN))
    assert (
        "the bare rule fails 33.3 % of the pairs of stored runs, which differ in nothing" in verdict.warnings
    )


def test_the_plain_rule_passes_what_is_within_the_limit():
    verdict = judge(measured(0.105, n=30), slo(), stored(n=30, runs=1), Terms(rule=Rule.PLAIN))
    assert verdict.outcome is Outcome.PASSED


def test_interleaved_arms_are_not_told_to_store_more_runs():
    measurement, _ = doubtful()
    history = stored(n=30, runs=1, label="git:main", series={"latency_s": wild(31)})
    verdict = judge(measurement, slo(), history, Terms(looks=LOOKS, interleaved=True))
    assert "(git:main, n=31)" in verdict.reason
    assert "too uncertain to say: takes about " in verdict.reason


def test_the_allowed_regression_is_the_users():
    assert judge(measured(0.15), slo(max_regression="60%"), stored()).outcome is Outcome.PASSED


def test_the_users_list_says_what_is_compared():
    history = stored(series={"latency_s": times(0.05, 200), "task_s": times(0.1, 200)})
    verdict = judge(measured(n=200), slo(gate=["task_p95_ms"]), history)
    assert compared(verdict, "task").outcome is Outcome.PASSED
    assert verdict.outcome is Outcome.PASSED


def test_an_empty_list_compares_nothing():
    verdict = judge(measured(0.15), slo(gate=[]), stored())
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "every limit holds")


def test_few_samples_are_compared_by_their_median_and_called_so():
    verdict = judge(measured(0.2, n=10), slo(), stored())
    check = compared(verdict, "latency", "p50")
    assert check.observed == pytest.approx(0.2)
    assert check.reason.startswith("p50 200 ms (n=10), baseline 100 ms")


def test_a_metric_missing_from_the_baseline_is_no_baseline():
    verdict = judge(measured(n=200), slo(gate=["task_p95_ms"]), stored())
    assert (verdict.outcome, verdict.reason) == (
        Outcome.NO_BASELINE,
        "task p95 is not in the stored baseline: pytest --save-baseline adds it",
    )


def test_a_metric_measured_neither_then_nor_now_is_left_out():
    verdict = judge(measured(n=200), slo(), stored())
    assert not [check for check in verdict.checks if check.metric == "ttft"]


def test_a_metric_that_is_missing_now_has_failed():
    gone = measured(series={"task_s": times()})
    verdict = judge(gone, slo(), stored())
    assert (verdict.outcome, verdict.reason) == (
        Outcome.FAILED,
        "p95 was measured for the baseline and is missing now",
    )


def test_a_share_is_compared_with_all_stored_runs():
    shares = {"success_rate": all_of(200), "pass_rate": Count(successes=150, trials=200)}
    verdict = judge(measured(n=200, proportions=shares), slo(pass_rate=0.5), stored())
    assert compared(verdict, "pass_rate", "rate").outcome is Outcome.REGRESSED
    assert (
        verdict.reason
        == "pass_rate 75 % (n=200), baseline 100 % (main@3f2c1a9 and 2 more runs, n=600): proven"
    )


def test_a_share_in_doubt_is_told_in_points():
    shares = {"success_rate": all_of(30), "pass_rate": Count(successes=27, trials=30)}
    verdict = judge(measured(n=30, proportions=shares), slo(pass_rate=0.5), stored())
    assert "pass_rate 90 % (n=30), baseline 100 %" in verdict.reason
    assert verdict.reason.endswith(" points shows yet)")


def test_a_ratio_just_past_the_limit_is_not_shown_as_the_limit():
    verdict = judge(measured(0.1101, n=480), slo(p95_ms=500), stored())
    assert "x1.101, limit x1.100" in compared(verdict).reason


def test_another_model_is_compared_and_told():
    verdict = judge(measured(n=200), slo(p95_ms=150), stored(facts={**FACTS, "model": "llama"}))
    assert verdict.outcome is Outcome.PASSED
    assert verdict.warnings == ("compared although this changed: model: llama then, qwen now",)


def test_while_a_baseline_is_saved_no_change_is_told():
    history = stored(facts={**FACTS, "model": "llama"})
    assert judge(measured(n=200), slo(p95_ms=150), history, Terms(rule=Rule.NONE)).warnings == ()


# The anchor


def crept(*, anchor_s=0.1, newest_s=0.125):
    anchor = stored(anchor_s, runs=1, anchor=True, saved="2026-01-01").runs
    return History(runs=anchor + stored(newest_s, n=400, runs=2).runs)


def test_small_steps_cannot_creep_past_the_limit():
    verdict = judge(measured(0.13, n=240), slo(), crept())
    assert verdict.outcome is Outcome.REGRESSED
    assert verdict.reason.startswith("since the anchor: p95 142 ms (n=240), baseline 109 ms")


def test_creeping_steps_that_look_like_noise_between_runs_do_not_hide_themselves():
    verdict = judge(measured(0.13, n=240), slo(), crept(), Terms(run_effect=0.15))
    assert verdict.reason.startswith("since the anchor: p95 142 ms (n=240), baseline 109 ms")


def test_what_has_regressed_anyway_is_not_said_again_of_the_anchor():
    verdict = judge(measured(0.2, n=240), slo(), crept(newest_s=0.1))
    assert [
        check.reason.startswith("p95 218 ms (n=240), baseline 109 ms (main@3f2c1a9 and 2 more")
        for check in verdict.broken
    ] == [True]


def test_the_newest_anchor_counts():
    old = stored(0.05, runs=1, anchor=True, saved="2025-01-01").runs
    history = History(runs=old + crept(anchor_s=0.13, newest_s=0.13).runs)
    assert judge(measured(0.13, n=240), slo(), history).outcome is not Outcome.REGRESSED


@pytest.mark.parametrize("rule", [Rule.PLAIN, Rule.NONE])
def test_the_anchor_is_a_matter_of_proof(rule):
    verdict = judge(measured(0.13, n=240), slo(), crept(), Terms(rule=rule))
    assert "since the anchor" not in verdict.reason


# Limits that nobody wrote, and one cause counted once


@pytest.mark.parametrize("rate", ["success_rate", "pass_rate", "json_valid"])
def test_a_share_is_promised_to_be_whole_unless_the_user_says_otherwise(rate):
    shares = {"success_rate": all_of(60), "pass_rate": all_of(60), "json_valid": all_of(60)}
    one = measured(proportions={**shares, rate: Count(successes=59, trials=60)})
    verdict = judge(one, slo(p95_ms=150), History())
    assert verdict.reason == f"{rate} 98.3 % < 100 % (59 of 60, 95 % interval 91.1-99.7 %)"
    assert judge(one, slo(**{rate: 0.9}), History()).outcome is Outcome.NO_BASELINE


def test_json_is_not_promised_where_none_was_asked_for():
    verdict = judge(measured(), slo(p95_ms=150), History())
    assert not [check for check in verdict.checks if check.metric == "json_valid"]


def test_replies_that_failed_their_iteration_are_counted_there_alone():
    shares = {
        "success_rate": all_of(60),
        "pass_rate": Count(successes=50, trials=60),
        "json_valid": Count(successes=50, trials=60),
    }
    verdict = judge(measured(proportions=shares, json_failed=10), slo(), History())
    assert [check.metric for check in verdict.broken] == ["pass_rate"]
    assert check_of(verdict, "json_valid").n == 50


def test_where_every_reply_failed_its_iteration_json_is_not_judged_at_all():
    shares = {
        "success_rate": all_of(60),
        "pass_rate": Count(trials=60),
        "json_valid": Count(trials=60),
    }
    verdict = judge(measured(proportions=shares, json_failed=60), slo(), History())
    assert [check.metric for check in verdict.broken] == ["pass_rate"]


def all_failed(**more):
    return measured(series={}, failed=60, proportions={"success_rate": Count(trials=60)}, **more)


PROMISES = {
    "p95_ms": 150,
    "task_p95_ms": 200,
    "pass_rate": 0.9,
    "json_valid": 0.9,
    "tokens_per_s": 5,
    "cost_usd": 1,
    "accuracy": {"route": 0.9},
}


def test_where_every_request_failed_success_rate_alone_says_so():
    verdict = judge(all_failed(), slo(**PROMISES), stored(proportions={}))
    assert verdict.reason == "success_rate 0 % < 100 % (0 of 60, 95 % interval 0-6.02 %)"
    assert [check.metric for check in verdict.broken] == ["success_rate"]


def test_what_is_missing_for_another_cause_is_said_as_well():
    shares = {"success_rate": Count(successes=59, trials=60), "pass_rate": all_of(59)}
    verdict = judge(measured(proportions=shares, failed=1), slo(cache_hit_rate=0.5), History())
    assert {check.metric for check in verdict.broken} == {"success_rate", "cache_hit_rate"}


def test_a_gate_that_cannot_know_fails_where_failures_are_allowed():
    verdict = judge(all_failed(), slo(success_rate=0, p95_ms=150), History())
    assert verdict.reason == "p95 was not measured: no request succeeded"


def test_where_no_iteration_passed_pass_rate_alone_says_so():
    one = measured(
        series={"latency_s": times()},
        proportions={"success_rate": all_of(60), "pass_rate": Count(trials=60)},
    )
    verdict = judge(one, slo(task_p95_ms=200, accuracy={"route": 0.9}), History())
    assert [check.metric for check in verdict.broken] == ["pass_rate"]


def test_where_invalid_json_ended_every_iteration_json_valid_alone_says_so():
    one = measured(
        series={"latency_s": times()},
        proportions={"success_rate": all_of(60), "json_valid": Count(trials=60)},
    )
    verdict = judge(one, slo(json_valid=0.9, pass_rate=0.9), History())
    assert [check.metric for check in verdict.broken] == ["json_valid"]


@pytest.mark.parametrize(
    ("arguments", "label", "why"),
    [
        ({"ttft_p95_ms": 5}, "ttft p95", "it needs a streamed request that succeeded and had content"),
        ({"itl_p95_ms": 5}, "itl p95", "it needs streamed replies with two or more content chunks"),
        ({"tpot_p95_ms": 5}, "tpot p95", "it needs streamed replies with two or more output tokens"),
        ({"json_valid": 0.9}, "json_valid", "it needs a request with schema= or a read of reply.json"),
        ({"tokens_per_s": 5}, "tokens_per_s", "it needs replies whose output tokens are known"),
        ({"requests_per_s": 5}, "requests_per_s", "it needs an iteration"),
        ({"output_tokens": 5}, "output_tokens max", "it needs replies whose tokens are known"),
        ({"cache_hit_rate": 0.5}, "cache_hit_rate", "it needs a server that reports cached tokens"),
        (
            {"cost_usd": 1},
            "cost_usd mean",
            "it needs a price for the model in slo.yaml, and replies whose tokens are known",
        ),
        ({"accuracy": {"route": 0.9}}, "accuracy:route", "llm.check('route', ...) never ran"),
    ],
)
def test_a_promise_about_something_never_seen_is_not_kept(arguments, label, why):
    verdict = judge(measured(), slo(**arguments), History())
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, f"{label} was not measured: {why}")


def test_a_limit_on_requests_needs_requests():
    verdict = judge(measured(series={"task_s": times()}, sent=0), slo(p95_ms=5), History())
    assert verdict.reason == "p95 was not measured: no request was made through a fixture of the plugin"


# The other quantities


RICH = measured(
    series={"latency_s": times(), "output_tokens": (128.0, 129.0) * 30, "cost_usd": (1.2e-5,) * 60},
    tokens=TokenTotals(input=100, output=150, cached=60),
    busy_s=3.0,
    wall_s=6.0,
    checks=(
        CheckCount(name="route", label="a", count=Count(successes=28, trials=30)),
        CheckCount(name="route", label="b", count=all_of(30)),
        CheckCount(name="other", label=None, count=Count(trials=30)),
    ),
)


@pytest.mark.parametrize(
    ("arguments", "kept", "reason"),
    [
        ({"output_tokens": 128}, False, "output_tokens max 129 tokens > 128 tokens (n=60)"),
        ({"output_tokens": 129}, True, "output_tokens max 129 tokens = 129 tokens (n=60)"),
        ({"cost_usd": 1e-5}, False, "cost_usd mean $0.000012 > $0.000010 (n=60)"),
        ({"tokens_per_s": 50}, True, "tokens_per_s 50/s = 50/s (n=60)"),
        ({"tokens_per_s": 51}, False, "tokens_per_s 50/s < 51/s (n=60)"),
        ({"requests_per_s": 9}, True, "requests_per_s 10/s ≥ 9/s (n=60)"),
        ({"cache_hit_rate": 0.61}, False, "cache_hit_rate 60 % < 61 % (n=60)"),
        ({"mean_ms": 101}, True, "mean 100 ms ≤ 101 ms (n=60)"),
        ({"mean_ms": 99.99}, False, "mean 100 ms > 99.99 ms (n=60)"),
        ({"max_ms": 109}, False, "max 110 ms > 109 ms (n=60)"),
        (
            {"accuracy": {"route": 0.9}},
            True,
            "accuracy:route 96.7 % ≥ 90 % (58 of 60, 95 % interval 88.6-99.1 %)",
        ),
        (
            {"accuracy": {"other": 0.9}},
            False,
            "accuracy:other 0 % < 90 % (0 of 30, 95 % interval 0-11.4 %)",
        ),
    ],
)
def test_a_limit_is_held_to_in_its_own_direction(arguments, kept, reason):
    verdict = judge(RICH, slo(**arguments), History())
    check = next(check for check in verdict.checks if check.reason == reason)
    assert check.outcome is (Outcome.PASSED if kept else Outcome.FAILED)


def test_what_is_to_be_known_before_trusting_the_verdict_is_told_once():
    told = judge(measured(warnings=("hot", "hot")), slo(p99_ms=500), History()).warnings
    assert told == ("first look raised from 30 to 100 samples, which p99 needs", "hot")


# Properties


@given(st.floats(0.5, 2.0), st.sampled_from([30, 60, 240]), st.sampled_from([1, 3]))
def test_the_same_arguments_give_the_same_verdict(middle_s, n, runs):
    arguments = measured(0.1 * middle_s, n), slo(p95_ms=150), stored(runs=runs)
    assert judge(*arguments) == judge(*arguments)


@given(st.floats(0.2, 5.0), st.sampled_from([12, 30, 60, 240]))
def test_passed_is_never_printed_beside_more_than_the_limit(factor, n):
    verdict = judge(measured(0.1 * factor, n), slo(), stored())
    check = next(check for check in verdict.checks if check.kind is CheckKind.REGRESSION)
    if check.outcome is Outcome.PASSED:
        assert check.ratio <= 1.1


@given(st.floats(0.2, 5.0), st.sampled_from([30, 60]), st.sampled_from(list(Rule)))
def test_a_verdict_is_as_bad_as_its_worst_check(factor, n, rule):
    verdict = judge(measured(0.1 * factor, n), slo(p95_ms=150), stored(), Terms(rule=rule))
    assert verdict.outcome is max((check.outcome for check in verdict.checks), key=lambda each: each.severity)
    assert verdict.reason


def test_a_warning_about_a_percentile_says_whose_it_is():
    apart = tuple(0.3 if i % 16 == 0 else value for i, value in enumerate(times(n=200)))
    series = {"latency_s": apart, "ttft_s": apart}
    verdict = judge(measured(n=200, series=series), slo(), stored(series=series))
    gaps = [warning.partition(" sits at a gap")[0] for warning in verdict.warnings if "gap" in warning]
    assert gaps == ["p95", "ttft p95"]


# A quick look


def test_a_quick_look_judges_no_percentile():
    verdict = quick(measured(9.0, n=3), slo(p95_ms=150))
    assert (verdict.outcome, verdict.reason) == (
        Outcome.SKIPPED,
        "quick look: asserts hold, percentiles are not judged",
    )


def test_a_quick_look_fails_on_a_failed_assert():
    shares = {"success_rate": all_of(3), "pass_rate": Count(successes=2, trials=3)}
    verdict = quick(measured(n=3, proportions=shares), slo(p95_ms=150))
    assert (verdict.outcome, verdict.reason) == (
        Outcome.FAILED,
        "pass_rate 66.7 % < 100 % (2 of 3, 95 % interval 20.8-93.9 %)",
    )


def test_a_quick_look_counts_one_cause_once():
    verdict = quick(all_failed(), slo(json_valid=0.9, goodput=0.9))
    assert [check.metric for check in verdict.broken] == ["success_rate"]


def test_one_look_is_the_default():
    assert judge(measured(), slo(), History()) == judge(measured(), slo(), History(), ONE_LOOK)


@pytest.mark.parametrize("slower", [1.0, 1.05, 1.3])
def test_columns_and_tuples_of_the_same_numbers_have_one_verdict(slower):
    now, before = wild(300), wild(201)
    slo = build(parse_arguments({"p95_ms": 150, "max_ms": 200, "task_p99_ms": 300}, where="here"))
    verdicts = []
    for kind in (tuple, list, Column):
        series = {"latency_s": kind(slower * value for value in now), "task_s": kind(now)}
        runs = stored(series={"latency_s": kind(before), "task_s": kind(before)})
        verdicts.append(judge(measured(n=300, series=series), slo, runs))
    assert verdicts[0] == verdicts[1] == verdicts[2]
