from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.cache import CacheMode
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import KEYS
from pytest_llmperf.core.share import parse_regression, parse_share
from pytest_llmperf.core.slo import (
    ARGUMENTS,
    DEFAULT_GATE,
    Limit,
    Slo,
    build,
    merged,
    parse_arguments,
    parse_limit,
)

GOOD = {
    "scenario": "router",
    "role": "router",
    "iterations": 40,
    "warmup": 0,
    "max_iterations": 960,
    "max_regression": 0.2,
    "gate": ("ttft_p95_ms",),
    "cases": ("a", "b"),
    "accuracy": (("route", 0.95),),
    "steps": (("submit", (Limit(key="p95_ms", metric="latency", statistic="p95", bound=0.02),)),),
    "cache": CacheMode.COLD,
    "max_cost_usd": 0.5,
}


def slo(*layers, **arguments):
    return build(merged(parse_arguments(layer, where="here") for layer in (*layers, arguments)))


def refusal(arguments, where="test_chat.py:12  @llm_slo"):
    with pytest.raises(LlmPerfUsageError) as error:
        parse_arguments(arguments, where=where)
    return str(error.value)


def test_nothing_said_is_the_documented_default():
    assert build({}) == Slo(iterations=30, warmup=5, max_iterations=480, max_regression=0.10)


def test_the_default_gate_is_latency_ttft_and_the_shares():
    assert [(key.metric, key.statistic) for key in Slo().gates] == [
        ("latency", "p95"),
        ("ttft", "p95"),
        ("success_rate", "rate"),
        ("pass_rate", "rate"),
        ("json_valid", "rate"),
    ]


def test_an_inner_accuracy_replaces_that_of_the_same_name_only():
    outer, inner = {"route": 0.95, "intent": 0.5}, {"intent": 0.9, "date": 0.8}
    assert dict(slo({"accuracy": outer}, {"accuracy": inner}).accuracy) == {
        "route": 0.95,
        "intent": 0.9,
        "date": 0.8,
    }


def test_an_inner_step_replaces_that_of_the_same_name_only():
    outer, inner = {"submit": {"p95_ms": 20}, "job": {"p95_s": 1}}, {"submit": {"p50_ms": 5}}
    steps = slo({"steps": outer}, {"steps": inner}).steps
    assert {name: [limit.key for limit in limits] for name, limits in steps} == {
        "submit": ["p50_ms"],
        "job": ["p95_s"],
    }


def test_every_argument_is_taken():
    built = slo(**{**GOOD, "accuracy": {"route": 0.95}, "steps": {"submit": {"p95_ms": 20}}})
    assert {name: getattr(built, name) for name in ARGUMENTS} == GOOD


def test_the_arguments_are_the_documented_ones():
    assert set(ARGUMENTS) == set(GOOD)


@pytest.mark.parametrize(
    ("key", "value", "bound"),
    [
        ("p95_ms", 150, 0.15),
        ("p95_s", 0.15, 0.15),
        ("p95_us", 150_000, 0.15),
        ("p95_ns", 150_000_000, 0.15),
        ("json_valid", 0.98, 0.98),
        ("json_valid", "98%", 0.98),
        ("json_valid", " 99.5 % ", 0.995),
        ("cache_hit_rate", "40%", 0.4),
        ("success_rate", 0, 0.0),
        ("pass_rate", 1, 1.0),
        ("tokens_per_s", 100, 100.0),
        ("output_tokens", 128, 128.0),
        ("cost_usd", 0.002, 0.002),
    ],
)
def test_a_limit_is_kept_in_the_unit_of_its_metric(key, value, bound):
    assert parse_limit(key, value).bound == pytest.approx(bound)


def test_a_limit_remembers_the_unit_it_was_written_in():
    assert parse_limit("p95_us", 3).scale == 1e-6


def test_a_limit_that_nobody_wrote_has_the_scale_of_its_metric():
    assert Limit(key="accuracy:route", metric="pass_rate", statistic="rate", bound=1.0).scale == 1.0


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_can_be_limited(key):
    assert slo(**{key: 0.5}).limit(KEYS[key].metric, KEYS[key].statistic).key == key


def test_a_limit_that_is_not_there_is_none():
    assert slo(p95_ms=150).limit("ttft", "p95") is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"p95_mss": 1}, 'p95_mss is not an SLO key. Did you mean "p95_ms"?'),
        ({"iteration": 1}, 'iteration is not an SLO key. Did you mean "iterations"?'),
        ({"p95_ms": "150"}, "p95_ms: '150' is not a number."),
        ({"p95_ms": True}, "p95_ms: True is not a number."),
        ({"p95_ms": None}, "p95_ms: None is not a number."),
        ({"p95_ms": 0}, "p95_ms: 0 is out of range; expected a number above 0."),
        ({"p95_ms": float("nan")}, "p95_ms: nan is out of range; expected a number above 0."),
        ({"p95_ms": float("inf")}, "p95_ms: inf is out of range; expected a number above 0."),
        (
            {"json_valid": 98},
            "json_valid: 98 is out of range; expected a share from 0 to 1, or such as '98%'.",
        ),
        ({"json_valid": "high"}, "json_valid: 'high' is not a share like 0.10 or '10%'."),
        ({"json_valid": True}, "json_valid: True is not a share like 0.10 or '10%'."),
        ({"json_valid": "1.2.3%"}, "json_valid: '1.2.3%' is not a share like 0.10 or '10%'."),
        ({"p95_ms": 150, "p95_s": 0.2}, "p95_s: p95_ms limits the same already; keep one of them."),
        (
            {"iterations": 0},
            (
                "iterations: 0 is not a whole number from 1; expected a whole number from 1: "
                "measured runs of the body before the first look."
            ),
        ),
        (
            {"scenario": " "},
            (
                "scenario: ' ' is not a name; "
                "expected a name; every item with this name is pooled into one scenario, judged at the end."
            ),
        ),
    ],
)
def test_a_wrong_argument_is_refused_in_a_sentence(arguments, sentence):
    assert refusal(arguments) == f"test_chat.py:12  @llm_slo  {sentence}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 2.5),
        ("iterations", True),
        ("iterations", "30"),
        ("warmup", -1),
        ("max_iterations", 0),
        ("max_regression", 0),
        ("max_regression", -0.1),
        ("max_regression", "1001%"),
        ("max_regression", None),
        ("gate", "p95_ms"),
        ("gate", 7),
        ("gate", ["p95_mss"]),
        ("gate", ["mean_ms"]),
        ("gate", ["max_ms"]),
        ("gate", ["tokens_per_s"]),
        ("gate", ["output_tokens"]),
        ("cases", []),
        ("cases", {"a": 1}),
        ("cases", ""),
        ("accuracy", {}),
        ("accuracy", ["route"]),
        ("accuracy", {"route": 95}),
        ("accuracy", {7: 0.5}),
        ("role", 7),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name, value):
    assert refusal({name: value}).startswith("test_chat.py:12  @llm_slo  ")


def test_a_wrong_accuracy_names_its_check():
    assert "route: 95 is out of range" in refusal({"accuracy": {"route": 95}})


def test_the_place_may_depend_on_the_argument():
    assert refusal({"warmup": 3, "p95": 1}, where="slo.yaml:3  defaults.{}".format).startswith(
        "slo.yaml:3  defaults.p95  p95 is not an SLO key"
    )


@pytest.mark.parametrize("number", [10, 1.01, 15.0])
def test_a_regression_above_one_needs_its_percent_sign(number):
    # 10 is how people write 10 %; taken as 1000 % it would gate nothing.
    with pytest.raises(ValueError, match=r"expected a share such as 0\.10 or '10%'"):
        parse_regression(number)


@pytest.mark.parametrize(("value", "share"), [(0.1, 0.1), ("10%", 0.1), ("150%", 1.5), (1, 1.0)])
def test_a_regression_is_a_share_or_a_percentage(value, share):
    assert parse_regression(value) == pytest.approx(share)


@given(st.floats(0, 1))
def test_a_share_is_the_number_it_is(share):
    assert parse_share(share) == share


@given(st.integers(0, 1000))
def test_a_percentage_is_a_hundredth(percent):
    assert parse_share(f"{percent}%") == percent / 100


def test_a_later_layer_wins_whatever_its_unit():
    merged = slo({"p95_ms": 150}, {"p95_s": 0.3})
    assert [(limit.key, limit.bound) for limit in merged.limits] == [("p95_s", 0.3)]


def test_latency_may_be_named_or_left_out():
    merged = slo({"latency_p95_ms": 150}, {"p95_ms": 300})
    assert [limit.bound for limit in merged.limits] == [0.3]


def test_layers_add_up_where_they_say_different_things():
    merged = slo({"p95_ms": 150, "warmup": 1}, {"json_valid": 0.98})
    assert (len(merged.limits), merged.warmup) == (2, 1)


def test_a_gate_named_twice_is_compared_once():
    assert slo(gate=["p95_ms", "p95_ms"]).gate == ("p95_ms",)


def test_setting_json_valid_is_remembered():
    assert slo(json_valid=0.9).expected_json


def test_json_valid_is_not_expected_unasked():
    assert not slo(p95_ms=150).expected_json


@pytest.mark.parametrize(
    ("arguments", "iterations", "note"),
    [
        ({"p99_ms": 1}, 100, "first look raised from 30 to 100 samples, which p99 needs"),
        ({"ttft_p999_ms": 1}, 1000, "first look raised from 30 to 1000 samples, which p999 needs"),
        ({"gate": ["p99_ms"]}, 100, "first look raised from 30 to 100 samples, which p99 needs"),
        (
            {"p99_ms": 1, "p999_ms": 2, "iterations": 50},
            1000,
            "first look raised from 50 to 1000 samples, which p999 needs",
        ),
    ],
)
def test_the_first_look_is_raised_to_what_a_percentile_needs(arguments, iterations, note):
    raised = slo(**arguments)
    assert (raised.iterations, raised.notes) == (iterations, (note,))


@pytest.mark.parametrize("arguments", [{"p95_ms": 1}, {"p99_ms": 1, "iterations": 100}, {"mean_ms": 1}])
def test_the_first_look_is_left_alone_where_it_suffices(arguments):
    assert slo(**arguments).notes == ()


def test_the_last_look_is_never_before_the_first():
    assert slo(iterations=600).max_iterations == 600


def test_a_percentile_that_needs_more_than_the_cap_raises_the_cap():
    assert slo(p999_ms=5).max_iterations == 1000


def test_a_cap_of_the_user_is_kept_and_what_it_costs_is_said():
    capped = build(parse_arguments({"p99_ms": 5}, where="here"), cap=50)
    assert (capped.iterations, capped.max_iterations, capped.notes) == (
        50,
        50,
        (
            "first look raised from 30 to 50 samples, which p99 needs",
            "p99 needs 100 samples, and at most 50 are taken",
        ),
    )


def test_a_cap_below_the_first_look_lowers_it():
    assert build(parse_arguments({"iterations": 100}, where="here"), cap=40).iterations == 40


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), st.floats(0.001, 1), max_size=12))
def test_every_limit_given_is_a_limit_kept(limits):
    one_each = {(KEYS[key].metric, KEYS[key].statistic): (key, bound) for key, bound in limits.items()}
    assert len(slo(**dict(one_each.values())).limits) == len(one_each)


def test_the_default_gate_can_be_compared():
    assert slo(gate=list(DEFAULT_GATE)).gate == DEFAULT_GATE
