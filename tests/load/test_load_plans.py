"""Who begins when: the numbers are exact, and so is every split over processes."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.load import KINDS, build_load, parse_load
from pytest_llmperf.load.plan import Arrivals, Users
from pytest_llmperf.load.profiles import PROFILES, profile_of
from pytest_llmperf.load.rhythm import Rhythm
from pytest_llmperf.load.think_time import parse_think

EXAMPLES = {
    "constant users": {"users": 50, "duration": "30s"},
    "ramping users": {"users": 50, "spawn_rate": 5, "duration": "1m"},
    "per-user iterations": {"users": 10, "iterations": 30},
    "shared iterations": {"users": 10, "shared_iterations": 300},
    "constant arrival rate": {"rate": 20, "duration": "30s"},
    "ramping arrival rate": {"stages": [("30s", 10), ("1m", 50)]},
    "replay": {"replay": [3.0, 3.5, 5.0]},
}


def profile(seed=0, **arguments):
    return profile_of(load(**arguments)).plan(Random(seed))


def load(**arguments):
    return build_load(parse_load(arguments, where="here"), where="here")


@pytest.mark.parametrize("kind", PROFILES)
def test_every_profile_is_found_by_its_arguments_and_says_what_it_is(kind):
    asked = load(**EXAMPLES[kind])
    assert asked.kind == kind
    assert profile_of(asked).fact
    assert PROFILES.keys() == KINDS.keys()


def test_constant_users_all_begin_at_once():
    assert profile(**EXAMPLES["constant users"]) == Users(starts_s=(0.0,) * 50, until_s=30.0)


def test_ramping_users_come_one_after_another():
    plan = profile(users=4, spawn_rate=2, duration="10s")
    assert plan == Users(starts_s=(0.0, 0.5, 1.0, 1.5), until_s=10.0)


def test_iterations_are_each_users_own_or_shared():
    assert profile(users=2, iterations=30) == Users(starts_s=(0.0, 0.0), each=30)
    assert profile(users=2, shared_iterations=30) == Users(starts_s=(0.0, 0.0), shared=30)


@given(rate=st.floats(0.1, 500), seconds=st.floats(0.1, 60))
def test_a_constant_rate_gives_as_many_arrivals_as_it_says(rate, seconds):
    due = profile(rate=rate, duration=f"{seconds:.6f}s").due_s
    assert abs(len(due) - rate * seconds) <= 0.51
    assert all(0 < at <= seconds + 1e-6 for at in due)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert gaps == pytest.approx([1 / rate] * len(gaps))


@given(
    stages=st.lists(st.tuples(st.floats(0.5, 20), st.floats(0, 100)), min_size=1, max_size=5).filter(
        lambda stages: any(rate > 0.01 for _, rate in stages)
    )
)
def test_a_ramping_rate_gives_the_area_under_it_in_every_stage(stages):
    due = profile(stages=stages).due_s
    assert list(due) == sorted(due)
    rate = start_s = expected = 0.0
    for seconds, target in stages:
        expected += seconds * (rate + target) / 2
        start_s, rate = start_s + seconds, target
        assert abs(sum(at <= start_s for at in due) - expected) <= 0.51


def test_poisson_arrivals_have_the_rate_and_the_spread_of_independent_users():
    due = profile(rate=100, duration="100s", arrivals="poisson").due_s
    assert len(due) == pytest.approx(10_000, abs=5 * math.sqrt(10_000))
    gaps = [later - earlier for earlier, later in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert spread == pytest.approx(mean, rel=0.05)


def test_poisson_arrivals_are_the_same_for_the_same_seed_only():
    one = {"rate": 50, "duration": "2s", "arrivals": "poisson"}
    assert profile(1, **one) == profile(1, **one) != profile(2, **one)


def test_a_replay_begins_at_once():
    assert list(profile(replay=[100.0, 100.5, 107]).due_s) == [0.0, 0.5, 7.0]
    assert list(profile(replay=[100.0, 100.5, 107], duration="1s").due_s) == [0.0, 0.5]


@given(
    due=st.lists(st.floats(0, 100), max_size=60).map(sorted),
    of=st.integers(1, 8),
    most=st.none() | st.integers(1, 50),
)
def test_arrivals_are_split_exactly(due, of, most):
    plan = Arrivals(due_s=due, max_concurrency=most)
    of = plan.divisible(of)
    parts = [plan.shard(index, of) for index in range(of)]
    assert all(part.due_s for part in parts) or not due
    assert sorted(at for part in parts for at in part.due_s) == due
    assert max(len(part.due_s) for part in parts) - min(len(part.due_s) for part in parts) <= 1
    if most is not None:
        assert sum(part.max_concurrency for part in parts) == most


@given(users=st.integers(1, 40), shared=st.none() | st.integers(1, 500), of=st.integers(1, 8))
def test_users_and_what_they_share_are_split_exactly(users, shared, of):
    plan = Users(starts_s=tuple(map(float, range(users))), shared=shared, each=None)
    of = plan.divisible(of)
    parts = [plan.shard(index, of) for index in range(of)]
    assert sorted(start for part in parts for start in part.starts_s) == list(plan.starts_s)
    assert all(part.starts_s for part in parts)
    if shared is not None:
        assert sum(part.shared for part in parts) == shared
        assert all(part.shared for part in parts)


@pytest.mark.parametrize(
    ("plan", "parts"),
    [
        (Users(starts_s=(0.0,) * 9), 4),
        (Users(starts_s=(0.0,) * 3), 3),
        (Users(starts_s=(0.0,) * 9, shared=2), 2),
        (Arrivals(due_s=(0.0,) * 9), 4),
        (Arrivals(due_s=(0.0,) * 3), 3),
        (Arrivals(due_s=(0.0,) * 9, max_concurrency=2), 2),
        (Arrivals(due_s=()), 1),
    ],
)
def test_there_are_no_more_parts_than_have_something_to_do(plan, parts):
    assert plan.divisible(4) == parts


@pytest.mark.parametrize(
    ("plan", "users", "shared"),
    [
        (Users(starts_s=(0.0,) * 10, until_s=30.0), 3, 3),
        (Users(starts_s=(0.0,) * 2, each=30), 2, 3),
        (Users(starts_s=(0.0,) * 2, each=1), 2, 2),
        (Users(starts_s=(0.0,) * 2, shared=300), 2, 3),
    ],
)
def test_a_limited_closed_loop_has_no_more_iterations_than_the_limit(plan, users, shared):
    limited = plan.limited(3)
    assert (len(limited.starts_s), limited.shared, limited.each) == (users, shared, None)


def test_a_limited_open_loop_ends_early():
    assert Arrivals(due_s=(0.0, 1.0, 2.0, 3.0)).limited(3).due_s == (0.0, 1.0, 2.0)


def test_a_recording_is_read_from_a_file(tmp_path):
    file = tmp_path / "arrivals.txt"
    file.write_text("# seconds\n10\n10.25  # two\n\n12\n")
    rhythm = Rhythm.of(load(replay="arrivals.txt"), find=lambda name: tmp_path / name)
    assert list(rhythm.profile.plan(Random(0)).due_s) == [0.0, 0.25, 2.0]
    assert rhythm.fact.startswith("replay of 3 arrivals (")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\nsoon\n", ":2: 'soon' is not a time"),
        ("# none\n", "no arrival time"),
        ("2\n1\n", "which is later"),
    ],
)
def test_a_bad_recording_is_told(tmp_path, text, said):
    (tmp_path / "arrivals.txt").write_text(text)
    with pytest.raises(LlmPerfUsageError, match=said):
        Rhythm.of(load(replay="arrivals.txt"), find=lambda name: tmp_path / name)


def test_a_missing_recording_is_told(tmp_path):
    with pytest.raises(LlmPerfUsageError, match="cannot be read"):
        Rhythm.of(load(replay="nowhere.txt"), find=lambda name: tmp_path / name)


def test_facts_tell_loads_apart_that_cannot_be_compared():
    def fact(**arguments):
        return Rhythm.of(load(**arguments), find=lambda name: name).fact

    assert fact(users=5, duration="30s") == fact(users=5, duration="60s")
    assert fact(users=5, duration="30s") != fact(users=6, duration="30s")
    assert fact(users=5, duration="30s") != fact(users=5, duration="30s", think_time="1s")
    assert fact(rate=5, duration="30s") != fact(rate=5, duration="30s", arrivals="poisson")


@pytest.mark.parametrize(
    ("text", "mean_s", "constant"),
    [
        (None, 0.0, True),
        ("2s", 2.0, True),
        ("constant(300ms)", 0.3, True),
        ("uniform(1s, 3s)", 2.0, False),
        ("exponential(2s)", 2.0, False),
        ("lognormal(2s, 0.5)", 2.0 * math.exp(0.125), False),
    ],
)
def test_think_time_has_its_mean(text, mean_s, constant):
    rng = Random(0)
    drawn = [parse_think(text)(rng) for _ in range(4000)]
    assert sum(drawn) / len(drawn) == pytest.approx(mean_s, rel=0.05)
    assert min(drawn) >= 0
    assert (len(set(drawn)) == 1) is constant


@pytest.mark.parametrize(
    "text", ["soon", "uniform(3s, 1s)", "uniform(3s)", "normal(1s, 2s)", "lognormal(1s, x)"]
)
def test_a_bad_think_time_is_told(text):
    with pytest.raises(LlmPerfUsageError, match="think_time"):
        parse_think(text)
