from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import Exchange, Tokens
from pytest_llmperf.core.metric import KEYS, METRICS, Shape, itl_s, nearest, parse_key, series_name, tpot_s
from pytest_llmperf.core.resources import GAUGES
from pytest_llmperf.core.slo import ARGUMENTS


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("p95_ms", ("latency", "p95", 1e-3)),
        ("latency_p95_ms", ("latency", "p95", 1e-3)),
        ("ttft_p95_ms", ("ttft", "p95", 1e-3)),
        ("itl_p99_ms", ("itl", "p99", 1e-3)),
        ("task_p50_s", ("task", "p50", 1.0)),
        ("p999_ns", ("latency", "p999", 1e-9)),
        ("p95_us", ("latency", "p95", 1e-6)),
        ("tpot_mean_ms", ("tpot", "mean", 1e-3)),
        ("max_s", ("latency", "max", 1.0)),
        ("json_valid", ("json_valid", "rate", 1.0)),
        ("cost_usd", ("cost_usd", "mean", 1.0)),
        ("output_tokens", ("output_tokens", "max", 1.0)),
    ],
)
def test_a_key_names_metric_statistic_and_unit(key, parts):
    parsed = parse_key(key)
    assert (parsed.metric, parsed.statistic, parsed.scale) == parts


TIMES = ("", "latency_", "ttft_", "itl_", "tpot_", "task_")
STATISTICS = ("p50", "p75", "p90", "p95", "p99", "p999", "mean", "max")
OTHERS = [
    "tokens_per_s",
    "requests_per_s",
    "goodput",
    "json_valid",
    "success_rate",
    "pass_rate",
    "cache_hit_rate",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cost_usd",
    "rss_mb",
    "cpu_percent",
    "gpu_memory_mb",
    "gpu_percent",
    "gpu_percent_min",
]


def test_the_keys_are_those_of_the_grammar_and_no_others():
    grammar = {
        f"{time}{statistic}_{unit}"
        for time, statistic, unit in itertools.product(TIMES, STATISTICS, ("ns", "us", "ms", "s"))
    }
    assert set(KEYS) == grammar | set(OTHERS)


def test_every_metric_can_be_limited():
    assert {key.metric for key in KEYS.values()} == set(METRICS)


def test_no_argument_of_llm_slo_is_also_a_key():
    assert not set(ARGUMENTS) & set(KEYS)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("p95_mss", "p95_ms"),
        ("p95ms", "p95_ms"),
        ("P95_MS", "p95_ms"),
        ("p59_ms", "p95_ms"),
        ("p95", "p95_ms"),
        ("p99", "p99_ms"),
        ("mean", "mean_ms"),
        ("median_ms", "p50_ms"),
        ("avg_ms", "mean_ms"),
        ("p95_seconds", "p95_s"),
        ("latency", "latency_p95_ms"),
        ("ttft_ms", "ttft_p95_ms"),
        ("ttft_p95", "ttft_p95_ms"),
        ("ttfb_p95_ms", "ttft_p95_ms"),
        ("p95_ttft_ms", "ttft_p95_ms"),
        ("json", "json_valid"),
        ("cost", "cost_usd"),
        ("succes_rate", "success_rate"),
        ("tokens_per_second", "tokens_per_s"),
        ("output_token", "output_tokens"),
        ("warm_up", "warmup"),
        ("regression", "max_regression"),
    ],
)
def test_a_typo_is_answered_with_the_key_that_was_meant(typo, meant):
    with pytest.raises(LlmPerfUsageError) as error:
        parse_key(typo, others=tuple(ARGUMENTS))
    assert str(error.value) == f'{typo} is not an SLO key. Did you mean "{meant}"?'


@pytest.mark.parametrize("word", ["xyz", "", "___", "qwertyuiop"])
def test_what_resembles_nothing_gets_no_proposal(word):
    assert nearest(word, KEYS) == "."


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_one_wrong_letter_still_leads_to_a_key(key, data):
    at = data.draw(st.integers(0, len(key) - 1))
    typo = f"{key[:at]}q{key[at + 1 :]}"
    assert "Did you mean" in nearest(typo, KEYS)


def test_names_other_than_keys_are_proposed_in_their_own_spelling():
    assert nearest("ruoter", ("Router", "Chat")) == '. Did you mean "Router"?'


def test_times_are_reported_with_their_unit():
    assert series_name("latency") == "latency_s"


def test_what_is_no_time_keeps_its_name():
    assert series_name("output_tokens") == "output_tokens"


@pytest.mark.parametrize(("name", "metric"), METRICS.items())
def test_limits_are_lower_bounds_for_shares_throughput_and_an_idle_gpu_alone(name, metric):
    from_below = metric.shape in {Shape.PROPORTION, Shape.THROUGHPUT} or name == "gpu_percent_min"
    assert metric.higher_is_better == from_below


def test_every_resource_metric_is_about_something_that_is_sampled():
    limited = {name: metric.resource for name, metric in METRICS.items() if metric.shape is Shape.RESOURCE}
    assert set(limited.values()) <= set(GAUGES)
    assert {METRICS[name].unit == GAUGES[about].unit for name, about in limited.items()} == {True}


def test_itl_is_the_mean_gap_between_chunks(request_of):
    assert itl_s(request_of(chunk_s=(0.05, 0.06, 0.10))) == pytest.approx(0.025)


@pytest.mark.parametrize("chunks", [(), (0.05,)])
def test_itl_needs_two_chunks(request_of, chunks):
    assert itl_s(request_of(chunk_s=chunks)) is None


def test_tpot_shares_the_time_after_the_first_token_among_the_other_tokens(request_of):
    assert tpot_s(request_of(latency_s=0.1, ttft_s=0.05)) == pytest.approx(0.05 / 5)


@pytest.mark.parametrize(
    "lacking",
    [{"ttft_s": None}, {"tokens": None}, {"tokens": Tokens(input=3)}, {"tokens": Tokens(output=1)}],
)
def test_tpot_needs_a_first_token_and_two_output_tokens(request_of, lacking):
    assert tpot_s(request_of(**lacking)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("latency", 0.1), ("ttft", 0.05), ("input_tokens", 10), ("output_tokens", 6), ("total_tokens", 16)],
)
def test_a_metric_is_read_off_a_request(request_of, name, value):
    assert METRICS[name].of(request_of()) == pytest.approx(value)


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "total_tokens"])
def test_tokens_nobody_counted_are_no_value(request_of, name):
    assert METRICS[name].of(request_of(tokens=None)) is None


def test_the_total_needs_both_counts():
    assert Tokens(input=3).total is None


def test_latency_counts_from_when_the_request_was_due():
    late = Exchange(due_s=1.0, sent_s=3.0, done_s=4.0)
    assert METRICS["latency"].of(late) == 3.0


def test_a_request_without_a_token_has_no_ttft():
    assert Exchange(due_s=1.0, sent_s=1.0, done_s=4.0).ttft_s is None


@given(
    st.lists(st.floats(0, 100), min_size=2, max_size=50).map(sorted),
)
def test_itl_is_never_negative_nor_more_than_the_longest_gap(chunks):
    exchange = Exchange(due_s=0.0, sent_s=0.0, done_s=101.0, chunk_s=tuple(chunks))
    longest = max(later - earlier for earlier, later in itertools.pairwise(chunks))
    assert 0 <= itl_s(exchange) <= longest + 1e-9
