"""The prompt cache: how often it helps, what it forgets, and four threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from planner import PromptCache, key_of, normalised
from workload import COMMON, workload

MODEL = "phi3"
PROMPTS = workload(Random(1))


def use(cache, prompts):
    """Ask for every prompt; what is not there is put there."""
    for prompt in prompts:
        key = key_of(prompt, MODEL)
        if cache.get(key) is None:
            cache.put(key, {"action": "wait"})
    return cache


def test_four_of_five_requests_of_the_usual_workload_are_hits():
    cache = use(PromptCache(100), PROMPTS)
    assert cache.hits + cache.misses == 1000
    assert cache.hit_rate >= 0.80


@pytest.mark.parametrize(
    ("capacity", "least"), [(10, 0.25), (50, 0.80), (100, 0.85), (200, 0.85), (500, 0.85)]
)
def test_a_larger_cache_hits_more(capacity, least):
    cache = use(PromptCache(capacity), PROMPTS)
    assert cache.hit_rate >= least
    assert cache.hit_rate >= use(PromptCache(capacity // 2), PROMPTS).hit_rate
    assert len(cache) <= capacity


def test_requests_that_never_repeat_bound_the_hit_rate():
    prompts = [prompt if prompt in COMMON else f"{prompt} {number}" for number, prompt in enumerate(PROMPTS)]
    unique = sum(prompt not in COMMON for prompt in prompts)
    assert use(PromptCache(500), prompts).hits == 1000 - unique - len(COMMON)


def test_under_pressure_the_least_recently_used_goes():
    cache = use(PromptCache(3), ["a", "b", "c"])
    cache.get(key_of("a", MODEL))
    use(cache, ["d"])
    assert [prompt for prompt in "abcd" if cache.get(key_of(prompt, MODEL))] == ["a", "c", "d"]


def test_four_threads_share_a_cache_and_lose_no_count():
    cache = PromptCache(50)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda seed: use(cache, workload(Random(seed), requests=250)), range(4)))
    assert cache.hits + cache.misses == 1000
    assert cache.hit_rate >= 0.75
    assert len(cache) == 50


def test_a_key_does_not_depend_on_spaces_and_ways_to_write_a_letter():
    assert key_of("Kapıyı  sav\tç\n", MODEL) == key_of("Kapıyı sav c\N{COMBINING CEDILLA}", MODEL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "phi3"), ("a", "gpt4")),
        (("ab", "c"), ("b", "ca")),
        (("a b", "c"), ("ab", "c")),
        (("I", "c"), ("i", "c")),
    ],
)
def test_keys_differ_where_the_question_does(one, other):
    assert key_of(*one) != key_of(*other)


def test_case_is_kept():
    assert normalised("  Sınır  KAPISI ") == "Sınır KAPISI"
