from __future__ import annotations

import random
from dataclasses import replace

import pytest

from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.breakdown import explanation
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.server_view import Mean, ServerView
from pytest_llmperf.core.slo import build, parse_arguments


def requests(*, n=120, ttft=0.1, pace=0.01, output=30, seed=0, streamed=True, slow=0.0, **more):
    """Series of *n* requests; a share *slow* of them takes five times as long."""
    rng = random.Random(seed)
    series = {"latency_s": [], "ttft_s": [], "tpot_s": [], "output_tokens": [], "task_s": []}
    for _ in range(n):
        factor = 5.0 if rng.random() < slow else 1.0
        first, each = factor * ttft * rng.lognormvariate(0, 0.05), factor * pace * rng.lognormvariate(0, 0.05)
        tokens = max(2, round(output * rng.lognormvariate(0, 0.05)))
        latency = first + each * (tokens - 1)
        series["latency_s"].append(latency)
        series["task_s"].append(latency + 0.01)
        series["output_tokens"].append(float(tokens))
        if streamed:
            series["ttft_s"].append(first)
            series["tpot_s"].append(each)
    made = {name: tuple(values) for name, values in series.items() if values}
    return {**made, **{name: (value,) * n for name, value in more.items()}}


def scenario(now, before, *, interleaved=False, runs=3, **arguments):
    """*now* held against *before*, which is a list of keyword arguments of `requests`, or one for all."""
    stored = tuple(
        StoredRun(
            scenario="s", saved=f"2026-05-0{index + 1}", series=requests(seed=50 + index, n=200, **before)
        )
        for index in range(runs)
    )
    measurement = Measurement(scenario="s", name="test_s", series=requests(**now))
    slo = build(parse_arguments({"p95_ms": 100_000, **arguments}, where="tests"))
    made = Scenario(
        measurement=measurement, slo=slo, verdict=judge(measurement, slo, History(runs=stored)), stored=stored
    )
    if interleaved:
        base = replace(measurement, series=stored[0].series)
        made = replace(made, base=base, stored=())
    return made


def test_longer_answers_are_told_from_a_slower_server():
    text = explanation(scenario({"output": 45}, {"output": 30}))
    assert text.startswith("TTFT +0 %, time per token ")
    assert text.endswith("output tokens +51 %: longer answers, not a slower server")


def test_a_slower_first_token_is_named_and_the_rest_is_said_to_hold():
    text = explanation(scenario({"ttft": 0.3}, {"ttft": 0.1}))
    assert "a longer wait for the first token, answers are as long as before" in text


def test_slower_generation_is_named():
    text = explanation(scenario({"pace": 0.02}, {"pace": 0.01}))
    assert "time per token +" in text
    assert text.endswith("slower generation, answers are as long as before")


def test_a_server_that_is_slower_throughout_is_named():
    text = explanation(scenario({"pace": 0.016, "ttft": 0.25}, {"pace": 0.01, "ttft": 0.1}))
    assert "slower from the first token to the last" in text


def test_two_causes_are_both_named():
    text = explanation(scenario({"pace": 0.015, "output": 45}, {"pace": 0.01, "output": 30}))
    assert "longer answers and slower generation" in text


def test_shorter_answers_do_not_hide_slower_generation():
    text = explanation(scenario({"pace": 0.03, "output": 25}, {"pace": 0.01, "output": 30}))
    assert text.endswith("slower generation")


def test_the_other_arm_is_explained_like_a_stored_run():
    text = explanation(scenario({"output": 45}, {"output": 30}, interleaved=True))
    assert text.endswith("longer answers, not a slower server")


def test_an_answer_in_one_piece_is_taken_apart_by_its_tokens():
    text = explanation(scenario({"output": 60, "ttft": 0, "streamed": False}, {"ttft": 0, "streamed": False}))
    assert text.endswith("longer answers, not a slower server")


def test_an_answer_in_one_piece_whose_tokens_nobody_counted_is_not_explained():
    uncounted = scenario({"pace": 0.02, "streamed": False}, {"streamed": False})
    series = {
        name: values for name, values in uncounted.measurement.series.items() if name != "output_tokens"
    }
    assert explanation(replace(uncounted, measurement=replace(uncounted.measurement, series=series))) is None


def test_an_older_baseline_without_token_counts_still_shows_a_slower_first_token():
    made = scenario({"ttft": 0.5}, {"ttft": 0.1})
    stored = tuple(
        replace(run, series={name: values for name, values in run.series.items() if name != "output_tokens"})
        for run in made.stored
    )
    assert explanation(replace(made, stored=stored)).endswith("a longer wait for the first token")


def test_an_older_baseline_without_token_counts_does_not_guess_at_longer_answers():
    made = scenario({"output": 60}, {"output": 30})
    stored = tuple(
        replace(run, series={name: values for name, values in run.series.items() if name != "output_tokens"})
        for run in made.stored
    )
    assert explanation(replace(made, stored=stored)) is None


def test_only_the_slowest_requests_are_told_from_all_of_them():
    text = explanation(scenario({"slow": 0.12, "n": 400, "seed": 7}, {}))
    assert text.startswith("p50 ")
    assert text.endswith("only the slowest requests became slower")


def test_cold_starts_are_named_where_only_the_slowest_requests_became_slower():
    made = scenario({"slow": 0.12, "n": 400, "seed": 7}, {})
    loads = (3.0,) * 48 + (0.01,) * 352
    measurement = replace(made.measurement, series={**made.measurement.series, "server_load_s": loads})
    assert explanation(replace(made, measurement=measurement)).endswith(
        "; the server loaded the model for 48 of them"
    )


@pytest.mark.parametrize(
    ("now", "before", "reason"),
    [
        ({"wait_s": 0.2}, {"wait_s": 0.001}, "(requests left the client late)"),
        ({"server_load_s": 2.0}, {"server_load_s": 0.01}, "(the server loaded the model for 120 requests)"),
        (
            {"cached_share": 0.1},
            {"cached_share": 0.9},
            "(the prefix cache gave 90 % of the input tokens before, 10 % now)",
        ),
        ({"input_tokens": 900.0}, {"input_tokens": 300.0}, "(longer prompts: input tokens +200 %)"),
        ({"server_prompt_s": 0.2}, {"server_prompt_s": 0.01}, "(the server took longer to read the prompt)"),
    ],
)
def test_the_reason_of_a_later_first_token_is_told_where_it_is_known(now, before, reason):
    text = explanation(scenario({"ttft": 0.3, **now}, {"ttft": 0.1, **before}))
    assert f"a longer wait for the first token {reason}" in text


def test_a_part_that_is_too_small_for_the_difference_is_no_reason():
    text = explanation(scenario({"ttft": 0.3, "wait_s": 0.01}, {"ttft": 0.1, "wait_s": 0.001}))
    assert "left the client late" not in text


def test_a_task_that_takes_longer_than_its_requests_is_the_test_s_own_work():
    made = scenario({}, {}, gate=["task_p95_ms"])
    series = dict(made.measurement.series)
    series["task_s"] = tuple(2 * value for value in series["task_s"])
    measurement = replace(made.measurement, series=series)
    verdict = judge(measurement, made.slo, History(runs=made.stored))
    text = explanation(replace(made, measurement=measurement, verdict=verdict))
    assert text.endswith("the requests take as long as before, the test's own work takes longer")


def test_a_task_with_one_more_request_says_so():
    made = scenario({}, {}, gate=["task_p95_ms"])
    series = dict(made.measurement.series)
    series["task_s"] = tuple(2 * value for value in series["task_s"][:60])
    measurement = replace(made.measurement, series=series)
    verdict = judge(measurement, made.slo, History(runs=made.stored))
    text = explanation(replace(made, measurement=measurement, verdict=verdict))
    assert text.endswith("2 requests an iteration instead of 1: more requests")


def test_a_task_that_follows_its_requests_is_explained_by_them():
    text = explanation(scenario({"output": 60}, {"output": 30}, gate=["task_p95_ms"]))
    assert text.endswith("longer answers, not a slower server")


def test_a_task_whose_iterations_were_not_timed_before_is_not_explained():
    made = scenario({}, {}, gate=["task_p95_ms"], task_p95_ms=1)
    stored = tuple(
        replace(run, series={name: values for name, values in run.series.items() if name != "task_s"})
        for run in made.stored
    )
    checks = tuple(check for check in made.verdict.checks if check.metric == "task")
    assert explanation(replace(made, stored=stored, verdict=replace(made.verdict, checks=checks))) is None


@pytest.mark.parametrize(
    "made",
    [
        scenario({}, {}),  # nothing is broken
        scenario({"output": 45}, {"output": 30}, runs=0),  # nothing to compare with
        scenario({"output": 45, "n": 10}, {"output": 30}, iterations=10),  # too few requests to tell
        scenario({}, {}, p95_ms=1),  # a limit is broken, and nothing became slower
        scenario({"pace": 0.005}, {"pace": 0.01}, p95_ms=1),  # a limit is broken, and it became faster
    ],
)
def test_silence_where_the_samples_do_not_show_a_cause(made):
    assert explanation(made) is None


def test_small_parts_that_nobody_can_tell_apart_stay_untold():
    """Everything 12 % slower: no part is a quarter of it beyond doubt, with runs that differ as much."""
    before = [{"ttft": 0.1 * factor, "pace": 0.01 * factor} for factor in (0.85, 1.0, 1.15)]
    made = scenario({"ttft": 0.112, "pace": 0.0112}, {}, p95_ms=1)
    stored = tuple(
        replace(run, series=requests(n=200, seed=9, **arguments))
        for run, arguments in zip(made.stored, before, strict=True)
    )
    assert explanation(replace(made, stored=stored)) is None


def test_causes_that_make_up_too_little_of_the_difference_stay_untold():
    """The tokens' own share is known, and the rest of what was added has no name."""
    made = scenario({"ttft": 0.4, "output": 40}, {"ttft": 0.1, "output": 30})
    series = dict(made.measurement.series)
    rng = random.Random(3)
    noise = [rng.choice((0.1, 0.7)) for _ in series["ttft_s"]]  # its mean is as high, and uncertain
    series["ttft_s"] = tuple(noise)
    measurement = replace(made.measurement, series=series)
    stored = tuple(
        replace(run, series={**run.series, "ttft_s": tuple(rng.choice((0.02, 1.0)) for _ in range(200))})
        for run in made.stored
    )
    assert explanation(replace(made, measurement=measurement, stored=stored)) is None


def test_a_part_that_moved_and_hardly_matters_is_no_cause():
    text = explanation(scenario({"ttft": 0.02, "output": 60}, {"ttft": 0.01, "output": 30}))
    assert text.endswith(": longer answers")


def seen(queue, prefill, decode):
    """The server's own view, seconds of a request."""
    parts = {"queue": queue, "prefill": prefill, "decode": decode}
    return ServerView(**{name: Mean(total_s=100 * each, count=100) for name, each in parts.items()})


def watched(made, then, now):
    """*made*, whose server told of itself *then* and *now*."""
    stored = tuple(replace(run, server=then) for run in made.stored)
    return replace(made, stored=stored, measurement=replace(made.measurement, server=now))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (
            seen(0.2, 0.1, 0.3),
            " in the queue (0 s before, 200 ms now), which is load, and not a slower model",
        ),
        (seen(0.0, 0.3, 0.3), "; the server spent it reading the prompt (100 ms before, 300 ms now)"),
        (seen(0.0, 0.1, 0.3), "; most of it was not spent at the server, but on the way, or in the client"),
        (seen(0.1, 0.2, 0.3), ", answers are as long as before"),  # two parts: none stands out
    ],
)
def test_the_server_says_where_the_added_time_was_spent(now, said):
    made = scenario({"ttft": 0.3}, {"ttft": 0.1})
    assert explanation(watched(made, seen(0.0, 0.1, 0.3), now)).endswith(said)


def test_of_longer_answers_the_server_says_nothing_new():
    made = scenario({"output": 45}, {"output": 30})
    text = explanation(watched(made, seen(0.0, 0.1, 0.3), seen(0.0, 0.1, 0.45)))
    assert text.endswith("longer answers, not a slower server")
