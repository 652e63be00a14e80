"""Prefix caches: what they did for a measurement, and prompts that they cannot know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmperf.core.cache import CacheMode, CacheUse, cache_remark, cache_use
from pytest_llmperf.core.cache_saving import Saving, savings
from pytest_llmperf.core.cold import Marks, marked_messages
from pytest_llmperf.core.exchange import Tokens
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.server_view import ServerView
from pytest_llmperf.core.slo import build, parse_arguments


def measured(*, told=10, hits=0, repeated=0, repeated_hits=0, rate=None, sent=10):
    server = None if rate is None else ServerView(cache_queries=1000, cache_hits=round(1000 * rate))
    use = CacheUse(told=told, hits=hits, repeated=repeated, repeated_hits=repeated_hits)
    return Measurement(scenario="s", name="s", sent=sent, cache=use, server=server)


@pytest.mark.parametrize(
    ("cached", "hit"),
    [(None, 0), (0, 0), (8, 0), (9, 1), (80, 1)],
)
def test_a_chat_templates_opening_words_are_no_hit(request_of, cached, hit):
    use = cache_use([request_of(tokens=Tokens(input=80, output=1, cached=cached))])
    assert use.hits == hit
    assert use.told == (cached is not None)


def test_a_small_share_of_a_long_prompt_is_no_hit(request_of):
    assert cache_use([request_of(tokens=Tokens(input=1000, output=1, cached=100))]).hits == 0
    assert cache_use([request_of(tokens=None), request_of(tokens=Tokens(output=1, cached=9))]).hits == 0


def test_a_prompt_is_repeated_from_its_second_time_on(request_of):
    hot = Tokens(input=100, output=1, cached=90)
    exchanges = [request_of(prompt=name, tokens=hot) for name in ("a", "b", "a", "a", "", "")]
    use = cache_use(exchanges)
    assert (use.repeated, use.repeated_hits, use.hits) == (2, 2, 6)


def test_uses_add_up():
    one = CacheUse(told=1, hits=2, repeated=3, repeated_hits=4)
    assert one + one == CacheUse(told=2, hits=4, repeated=6, repeated_hits=8)


@pytest.mark.parametrize(
    ("mode", "measurement", "words"),
    [
        ("as-is", measured(repeated=9, repeated_hits=7), "9 requests repeated a prompt, and 7 of them"),
        ("as-is", measured(told=0, repeated=9, rate=0.5), "and 50 % of all prompt tokens came from"),
        ("cold", measured(hits=3), "3 of 10 cold requests were partly served"),
        ("cold", measured(told=0, rate=0.3), "30 % of the tokens of cold prompts came from"),
        ("cold", measured(told=0), "whether cold prompts were cold"),
        ("warm", measured(hits=4), "6 of 10 warm requests found nothing"),
        ("warm", measured(told=0, rate=0.05), "5 % of the tokens of warm prompts came from"),
        ("both", measured(told=0), "whether warm prompts were warm"),
        ("both", measured(hits=9), "1 of 10 warm requests found nothing"),
    ],
)
def test_what_contradicts_the_mode_is_told(mode, measurement, words):
    assert words in cache_remark(measurement, CacheMode(mode))


@pytest.mark.parametrize(
    ("mode", "measurement"),
    [
        ("as-is", measured(hits=10)),  # a shared system prompt, as in production
        ("as-is", measured(repeated=9)),
        ("as-is", measured(told=0, repeated=9)),
        ("as-is", measured(told=0, repeated=9, rate=0.05)),
        ("as-is", measured(told=0, rate=0.9)),
        ("cold", measured()),
        ("cold", measured(told=0, rate=0.05)),
        ("warm", measured(hits=10)),
        ("warm", measured(told=0, rate=0.9)),
        ("both", measured(hits=10)),
        ("cold", measured(told=0, sent=0)),
    ],
)
def test_what_is_as_wanted_needs_no_remark(mode, measurement):
    assert cache_remark(measurement, CacheMode(mode)) is None


def test_marks_never_repeat_and_always_have_one_form():
    marks = Marks("salt")
    made = [marks() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {len(mark) for mark in made} == {len("[id 123456789]\n")}
    assert all(mark[4:13].isdecimal() for mark in made)


def test_marks_are_the_same_for_the_same_salt_and_for_no_other():
    one, again, other = Marks("a"), Marks("a"), Marks("b")
    assert [one(), one()] == [again(), again()]
    assert Marks("a")() != other()


def test_the_mark_stands_before_the_first_text_and_nothing_else_changes():
    messages = [{"role": "system", "content": "Kısa cevap ver."}, {"role": "user", "content": "merhaba"}]
    assert marked_messages(messages, "X ") == [
        {"role": "system", "content": "X Kısa cevap ver."},
        {"role": "user", "content": "merhaba"},
    ]
    assert messages[0]["content"] == "Kısa cevap ver."


@pytest.mark.parametrize(
    ("content", "marked"),
    [
        ([{"type": "image_url"}], [{"type": "text", "text": "X"}, {"type": "image_url"}]),
        (None, "X"),
        ([], "X"),
    ],
)
def test_parts_and_empty_contents_are_marked_too(content, marked):
    assert marked_messages([{"role": "user", "content": content}], "X") == [
        {"role": "user", "content": marked}
    ]


def test_no_message_stays_no_message():
    assert marked_messages([], "X") == []


def times(value, n, *, both=True):
    series = {"latency_s": tuple(value + 0.0001 * i for i in range(n))}
    if both:
        series["ttft_s"] = tuple(value / 2 + 0.0001 * i for i in range(n))
    return replace(measured(), series=series)


def test_a_saving_is_the_share_of_the_cold_time_that_is_gone():
    found = {(one.metric, one.statistic): one for one in savings(times(0.1, 80), times(0.2, 80))}
    assert set(found) == {(metric, q) for metric in ("ttft", "latency") for q in ("p50", "p95")}
    ttft = found["ttft", "p50"]
    assert ttft.cold_s > ttft.warm_s
    assert ttft.saved == pytest.approx(1 - ttft.warm_s / ttft.cold_s)
    assert ttft.low <= ttft.ratio <= ttft.high
    assert ttft.n == 80


def test_a_percentile_that_too_few_requests_tell_is_left_out():
    assert {one.statistic for one in savings(times(0.1, 10), times(0.2, 10))} == {"p50"}


def test_an_interval_without_an_upper_end_says_none():
    assert {one.high for one in savings(times(0.1, 2), times(0.2, 2))} == {None}


@pytest.mark.parametrize(
    ("low", "high", "proven"),
    [(0.2, 0.9, True), (1.1, 2.0, True), (0.2, 1.3, False), (0.2, None, False), (1.5, None, True)],
)
def test_a_saving_is_proven_where_its_interval_leaves_out_no_change(low, high, proven):
    one = Saving(metric="ttft", statistic="p50", cold_s=0.2, warm_s=0.1, ratio=0.5, low=low, high=high, n=8)
    assert one.is_proven is proven


def test_a_single_request_says_nothing_about_savings():
    assert savings(times(0.1, 1), times(0.2, 80)) == ()
    assert {one.metric for one in savings(times(0.1, 10, both=False), times(0.2, 10))} == {"latency"}


def test_the_mode_is_an_argument_of_the_marker():
    assert build(parse_arguments({"cache": "cold"}, where="t")).cache is CacheMode.COLD
    assert build({}).cache is CacheMode.AS_IS


@pytest.mark.parametrize("value", ["lukewarm", 1, None])
def test_another_mode_is_refused_by_name(value):
    with pytest.raises(Exception, match="is not one of as-is, cold, warm, both"):
        parse_arguments({"cache": value}, where="t")
