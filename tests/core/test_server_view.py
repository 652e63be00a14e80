"""The server's own view: differences of counters, and what they tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmperf.core import server_story
from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.explain import failure_text
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.server_plain import from_plain, to_plain
from pytest_llmperf.core.server_view import Counters, Mean, ServerView, between, joined, pooled, told_by
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Check, CheckKind, Verdict


def counters(*, in_flight=0, **totals):
    return Counters(source="vllm /metrics", totals=totals, in_flight=in_flight)


def mean(mean_s, count=10):
    return Mean(total_s=mean_s * count, count=count)


def view(queue_s=0.0, prefill_s=0.01, decode_s=0.04, **more):
    return ServerView(queue=mean(queue_s), prefill=mean(prefill_s), decode=mean(decode_s), **more)


def measured(latency_s, server, **more):
    return Measurement(
        scenario="s", name="s", series={"latency_s": (latency_s,) * 10}, sent=10, server=server, **more
    )


def compared(now, then, *, latency_s=0.2, before_s=0.1):
    stored = StoredRun(scenario="s", saved="2026-11-21", series={"latency_s": (before_s,) * 10}, server=then)
    return Scenario(
        measurement=measured(latency_s, now),
        slo=Slo(),
        verdict=Verdict(outcome=Outcome.PASSED, reason=""),
        stored=(stored,),
    )


def test_what_happened_is_the_difference_of_the_counters():
    before = counters(requests=5.0, queue=1.0, **{"queue count": 5.0})
    after = counters(requests=15.0, queue=1.5, **{"queue count": 15.0})
    seen = between(before, after)
    assert seen.requests == 10
    assert seen.queue.mean_s == pytest.approx(0.05)
    assert seen.queue.count == 10
    assert seen.prefill is None


def test_a_time_of_no_request_has_no_mean():
    still = counters(requests=5.0, queue=1.0, **{"queue count": 5.0})
    assert between(still, still).queue is None


def test_a_counter_that_appears_later_began_at_nothing():
    assert between(counters(), counters(preemptions=2.0)).preemptions == 2


def test_counters_that_fell_are_a_restart_and_tell_nothing_else():
    seen = between(counters(requests=9.0), counters(requests=2.0))
    assert seen.restarted
    assert seen.requests is None


def test_requests_in_flight_before_or_after_are_others():
    assert between(counters(in_flight=3), counters(in_flight=1)).others == 3


@pytest.mark.parametrize(("queries", "hits", "rate"), [(100, 25, 0.25), (0, 0, None), (100, None, None)])
def test_the_cache_hit_rate_needs_queries_and_hits(queries, hits, rate):
    assert ServerView(cache_queries=queries, cache_hits=hits).cache_hit_rate == rate


def test_answers_tell_reading_and_generating(request_of):
    told = told_by(
        [request_of(server_prompt_s=0.01, server_generate_s=0.03), request_of(server_prompt_s=0.03)]
    )
    assert told.prefill.mean_s == pytest.approx(0.02)
    assert (told.decode.mean_s, told.decode.count) == (0.03, 1)
    assert told.cold_starts == 0


def test_only_a_load_that_takes_time_is_a_cold_start(request_of):
    told = told_by([request_of(server_load_s=0.01), request_of(server_load_s=2.0), request_of()])
    assert told.cold_starts == 1
    assert told.load.mean_s == 2.0


def test_answers_without_times_tell_nothing(request_of):
    assert told_by([request_of()]) is None


def test_metrics_win_over_answers_and_answers_fill_the_gaps():
    both = joined(
        ServerView(sources=("vllm /metrics",), prefill=mean(0.01)),
        ServerView(sources=("answers",), prefill=mean(0.5), load=mean(2.0, 1)),
    )
    assert both.sources == ("vllm /metrics", "answers")
    assert both.prefill.mean_s == pytest.approx(0.01)
    assert both.load.count == 1


@pytest.mark.parametrize("join", [joined, pooled])
def test_one_view_alone_stays_as_it_is(join):
    one = view()
    assert join(one, None) is one
    assert join(None, one) is one
    assert join(None, None) is None


def test_pooled_views_add_up():
    pool = pooled(view(queue_s=0.1, requests=10, others=1), view(queue_s=0.3, requests=30, others=2))
    assert pool.requests == 40
    assert pool.queue.mean_s == pytest.approx(0.2)
    assert pool.others == 2


def test_plain_values_become_the_same_view_again():
    one = view(sources=("vllm /metrics",), requests=10, cache_hits=3, others=1, restarted=True)
    assert from_plain(to_plain(one)) == one


def test_no_view_stays_none_and_unknown_names_are_passed_over():
    assert to_plain(None) is None
    assert from_plain(None) is None
    assert from_plain({"sources": ["x"], "later": 1}) == ServerView(sources=("x",))


def test_an_ordinary_view_needs_no_remark():
    assert server_story.remarks(measured(0.1, view(requests=11))) == []
    assert server_story.remarks(measured(0.1, None)) == []


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (view(requests=12), "the server finished 12 requests meanwhile, 10 of this scenario"),
        (view(requests=10, others=2), "busy with 2 requests of somebody else"),
        (ServerView(restarted=True), "restarted"),
        (view(queue_s=0.02), "waited 20 ms in the server's queue"),
        (ServerView(queue=mean(0.02), e2e=mean(0.1)), "waited 20 ms in the server's queue"),
        (view(preemptions=3), "preempted 3 times"),
        (ServerView(load=mean(2.0, 3)), "3 measured requests waited 2 s on average"),
    ],
)
def test_what_spoils_a_measurement_is_told(server, words):
    (told,) = server_story.remarks(measured(0.1, server))
    assert words in told


def test_requests_that_warm_up_cases_are_not_somebody_elses():
    assert server_story.remarks(measured(0.1, view(requests=15)), aside=4) == []


def test_requests_of_iterations_that_were_cut_off_are_not_somebody_elses():
    load = LoadReport(profile="4 users", interrupted=4)
    assert server_story.remarks(measured(0.1, view(requests=15), load=load)) == []


def test_requests_of_a_process_that_is_lost_are_not_said_to_be_somebody_elses():
    load = LoadReport(profile="4 users", processes=2, lost=1)
    (told,) = server_story.remarks(measured(0.1, view(requests=20), load=load))
    assert "some are of what is lost" in told


def test_a_little_queueing_needs_no_remark():
    assert server_story.remarks(measured(0.1, ServerView(queue=mean(0.02), e2e=mean(0.3)))) == []


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (view(queue_s=0.09), "spent in the queue, which is load, and not a slower model"),
        (view(prefill_s=0.11), "the added time was spent reading the prompt"),
        (view(decode_s=0.14), "the added time was spent generating"),
        (view(), "not spent there, but on the way, or in the client"),
    ],
)
def test_the_part_that_grew_is_named(now, reason):
    told = server_story.comparison(compared(now, view()))
    assert told.endswith(reason)
    assert "decode 40 ms then" in told


def test_no_part_is_named_when_several_grew():
    told = server_story.comparison(compared(view(queue_s=0.04, prefill_s=0.05), view()))
    assert told.endswith("decode 40 ms then and 40 ms now")


@pytest.mark.parametrize("latency_s", [0.1, 0.101])
def test_nothing_is_blamed_when_nothing_became_slower(latency_s):
    told = server_story.comparison(compared(view(queue_s=0.09), view(), latency_s=latency_s))
    assert told.endswith("40 ms now")


def test_a_queue_in_which_nobody_ever_waited_is_not_told():
    told = server_story.comparison(compared(view(queue_s=0.0, prefill_s=0.11), view(queue_s=0.0)))
    assert "queue" not in told
    assert "prefill" in told


def test_a_cache_that_no_longer_hits_is_told():
    then = view(cache_queries=100, cache_hits=90)
    told = server_story.comparison(compared(view(prefill_s=0.1, cache_queries=100, cache_hits=10), then))
    assert told.endswith("; from its prefix cache 90 % of the prompt tokens then, 10 % now")


def test_a_cache_that_hits_as_before_is_not_told():
    same = view(cache_queries=100, cache_hits=90)
    assert "cache" not in server_story.comparison(compared(same, same))


@pytest.mark.parametrize(
    "scenario",
    [
        compared(None, view()),
        compared(view(), None),
        compared(ServerView(queue=mean(0.1)), ServerView(decode=mean(0.1))),
        replace(compared(view(), view()), stored=()),
        replace(compared(view(), view()), measurement=Measurement(scenario="s", name="s", server=view())),
    ],
)
def test_without_both_views_and_latencies_there_is_no_comparison(scenario):
    assert server_story.comparison(scenario) is None
    assert server_story.added_time(scenario) is None


def test_the_other_arm_comes_before_what_is_stored():
    scenario = replace(compared(view(), view(queue_s=0.5)), base=measured(0.1, view(queue_s=0.002)))
    assert "queue 2 ms then" in server_story.comparison(scenario)


def test_a_failure_tells_where_the_time_went_and_no_other_text_does():
    slower = compared(view(queue_s=0.09), view())
    check = Check(
        metric="latency",
        statistic="p95",
        kind=CheckKind.REGRESSION,
        unit="s",
        limit=1.1,
        observed=0.2,
        n=10,
        outcome=Outcome.REGRESSED,
        reason="p95 x2",
    )
    failed = replace(slower, verdict=Verdict(outcome=Outcome.REGRESSED, reason="", checks=(check,)))
    assert "s  at the server, on average: queue" in failure_text(failed)
    assert "at the server" not in failure_text(slower)
    said = f"TTFT +100 %: a longer wait; {server_story.added_time(slower)}"
    assert "at the server" not in failure_text(replace(failed, explanation=said))  # not twice


def test_what_a_view_lacks_is_left_out():
    assert server_story.in_brief(ServerView(e2e=mean(0.1))) == "end to end 100 ms"


def test_a_view_in_brief():
    told = server_story.in_brief(
        view(queue_s=0.001, cache_queries=100, cache_hits=16, preemptions=2, load=mean(2.0, 1))
    )
    assert told == (
        "queue 1 ms, prefill 10 ms, decode 40 ms, 16 % of the prompt tokens from its cache, 2 preemptions"
    )
