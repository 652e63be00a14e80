from __future__ import annotations

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import AbortOn, build_load, merge_load, parse_load


def load(**arguments):
    return build_load(parse_load(arguments, where="test_a.py:3  @llm_load"), where="test_a.py:3  @llm_load")


def test_durations_and_shares_are_read_as_users_write_them():
    asked = load(
        users=5,
        duration="1m",
        think_time=2,
        graceful_stop="0s",
        abort_on={"error_rate": "20%", "p95_ms": 500},
    )
    assert (asked.duration, asked.think_time, asked.graceful_stop) == (60.0, "2s", 0.0)
    assert asked.abort_on == AbortOn(error_rate=0.2, p95_s=0.5)
    assert load(rate=2, duration=3, abort_on={"p95_s": 1}).abort_on == AbortOn(p95_s=1.0)


@pytest.mark.parametrize(
    ("arguments", "length_s"),
    [
        ({"users": 5, "duration": "30s"}, 30.0),
        ({"rate": 5, "duration": "30s"}, 30.0),
        ({"stages": [("30s", 10), ("1m", 50)]}, 90.0),
        ({"replay": [5.0, 6.0, 8.5]}, 3.5),
        ({"replay": "file.txt"}, 0.0),
        ({"users": 5, "iterations": 30}, 6.0),
        ({"users": 5, "shared_iterations": 30}, pytest.approx(1.2)),
        ({"users": 5, "iterations": 30, "duration": "2s"}, 2.0),
    ],
)
def test_it_is_known_about_how_long_a_profile_takes(arguments, length_s):
    assert load(**arguments).length_s(0.2) == length_s


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, 'says no rhythm; give such as @llm_load(users=50, duration="30s") or'),
        ({"user": 5}, 'user is not an argument of llm_load. Did you mean "users"?'),
        ({"users": 5}, "users alone is no load profile: constant users needs duration too."),
        ({"rate": 5}, "rate alone is no load profile: constant arrival rate needs duration too."),
        (
            {"rate": 5, "duration": "1s", "think_time": "1s"},
            "think_time does not go with duration, rate (constant arrival rate)",
        ),
        ({"spawn_rate": 5, "arrivals": "poisson"}, "arrivals, spawn_rate do not make up a load profile; "),
        ({"rate": 5, "duration": "1s", "weight": 3}, "weight is a share of a mix: give mix='a name' too."),
        ({"mix": "a", "graceful_stop": "1s"}, "graceful_stop belongs to the profile: give it where that is."),
        ({"mix": "a", "users": 5}, "users alone is no load profile"),
        ({"weight": 0, "mix": "a"}, "0 is out of range"),
        ({"users": 0}, "users: 0 is not a whole number from 1; expected a whole number from 1: how many"),
        ({"users": True}, "True is not a whole number"),
        ({"rate": "fast"}, "'fast' is not a number"),
        ({"rate": -1}, "-1 is out of range"),
        ({"rate": float("inf")}, "inf is out of range"),
        ({"duration": "soon"}, "'soon' is not a duration"),
        ({"duration": True}, "True is not a duration"),
        ({"duration": 0}, "0 is no time at all"),
        ({"arrivals": "bursty"}, "'bursty' is neither"),
        ({"stages": "30s"}, "'30s' is not a list"),
        ({"stages": []}, "the list is empty"),
        ({"stages": [("30s",)]}, "is not a pair of a duration and a rate"),
        ({"stages": ["30s"]}, "'30s' is not a pair"),
        ({"stages": [("30s", 0)]}, "every rate is 0"),
        ({"stages": [("30s", True)]}, "True is not a number"),
        ({"replay": 5}, "5 is neither a list nor a file's name"),
        ({"replay": []}, "the list is empty"),
        ({"replay": [1, "x"]}, "'x' is not a time in seconds"),
        ({"replay": [2, 1]}, "1 comes after 2.0, which is later"),
        ({"think_time": " "}, "' ' is not a name"),
        ({"abort_on": 0.2}, "0.2 is not a mapping"),
        ({"abort_on": {"p99_ms": 5}}, "'p99_ms' is not one of error_rate, p95_ms"),
        ({"mix": 5}, "5 is not a name"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_is_right(arguments, said):
    with pytest.raises(LlmPerfUsageError) as caught:
        load(**arguments)
    assert str(caught.value).startswith("test_a.py:3  @llm_load  ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "arguments", [{"rate": 1e9, "duration": "1s"}, {"stages": [("1s", 1e9), ("0.5s", 1e9)]}]
)
def test_more_arrivals_than_memory_holds_are_refused_before_they_are_made(arguments):
    with pytest.raises(
        LlmPerfUsageError, match=r"test_a.py:3  @llm_load  1,000,000,000 arrivals are too many"
    ):
        load(**arguments)


def test_the_place_may_depend_on_the_argument():
    with pytest.raises(LlmPerfUsageError, match=r"line of rate  rate: -1"):
        parse_load({"rate": -1}, where=lambda name: f"line of {name}")


def test_another_rhythm_replaces_the_whole_rhythm_and_keeps_the_rest():
    outer = parse_load({"users": 5, "duration": "30s", "graceful_stop": "5s"}, where="")
    inner = parse_load({"rate": 5, "duration": "10s"}, where="")
    assert merge_load(outer, inner) == {"graceful_stop": 5.0, "rate": 5.0, "duration": 10.0}
    assert merge_load(outer, {"duration": 7.0})["users"] == 5


def test_a_member_of_a_mix_may_leave_the_profile_to_another_one():
    assert load(mix="frontdoor", weight=25).kind == ""
    assert load(mix="frontdoor", rate=5, duration="1s").weight == 1.0


def test_members_of_a_mix_differ_in_their_own_only():
    one = load(mix="a", weight=3, rate=5, duration="1s", abort_on={"error_rate": 0.5})
    assert one.differences(load(mix="a", weight=1, rate=5, duration="1s")) == []
    assert one.differences(load(mix="a", rate=6, duration="1s", arrivals="poisson")) == ["rate", "arrivals"]
