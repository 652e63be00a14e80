from __future__ import annotations

import pytest

from quality import apples, json_only, release_note
from scorecard import render, verdict

GOOD = {
    "model": "llama3.2:1b",
    "cold_s": 4.2,
    "warm_s": 0.31,
    "pitch_s": 1.4,
    "tokens_per_s": 41.6,
    "rss_mb": 1420.0,
    "cpu_percent": None,
    "tasks": 3,
    "quality": {"follows": 3, "coherent": 3, "no hallucination": 2},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "keep small"),
        ({"warm_s": 2.1}, "try 3-8B"),
        ({"pitch_s": 2.1}, "try 3-8B"),
        ({"tokens_per_s": 19.0}, "try 3-8B"),
        ({"quality": {"follows": 1, "coherent": 3, "no hallucination": 3}}, "keep small"),
        ({"quality": {"follows": 1, "coherent": 3, "no hallucination": 0}}, "try 3-8B"),
        (
            {"quality": {"follows": 1, "coherent": 1, "no hallucination": 1}, "model": "phi3:3.8b-mini"},
            "need bigger",
        ),
    ],
)
def test_the_verdict_follows_from_speed_and_quality(change, said):
    assert verdict({**GOOD, **change}) == said


def test_the_card_says_what_was_not_measured():
    assert (
        render(GOOD)
        == """\
Model: llama3.2:1b
Cold start (s): 4.20  Warm start (s): 0.31
Real prompt latency (s): 1.40  tok/s: 42
Peak RSS (MB): 1420  CPU avg %: not measured
Quality (3 tests): follows 3/3  coherent 3/3  no hallucination 2/3
Verdict: keep small"""
    )


@pytest.mark.parametrize(
    ("judge", "text", "missed"),
    [
        (apples, "You have 5 apples left.", {"no hallucination"}),
        (apples, "4", {"coherent"}),
        (release_note, "We fixed login.", {"follows"}),
        (release_note, "We fixed 12 bugs. See https://example.com.", {"no hallucination"}),
        (
            json_only,
            'Here it is: {"title": "a", "risks": [], "owner": "Platform"}',
            {"follows", "coherent", "no hallucination"},
        ),
        (json_only, '{"title": "a", "risks": "none", "owner": "Platform"}', {"coherent"}),
        (json_only, '{"title": "a", "risks": [], "owner": "Bob"}', {"no hallucination"}),
    ],
)
def test_a_bad_answer_misses_what_is_wrong_with_it(judge, text, missed):
    assert {question for question, well in judge(text).items() if not well} == missed
