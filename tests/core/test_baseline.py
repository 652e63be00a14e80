from __future__ import annotations

import pytest

from pytest_llmperf.core.baseline import MUST_MATCH, History, StoredRun, differences
from pytest_llmperf.core.measurement import Measurement

FACTS = {"backend kind": "openai", "hardware": "L4", "streaming": "on", "model": "qwen"}


def stored(saved="2026-05-04T10:00:00Z", **more):
    return StoredRun(scenario="a", saved=saved, **{"facts": FACTS, **more})


def measured(**facts):
    return Measurement(scenario="a", name="a", facts={**FACTS, **facts})


@pytest.mark.parametrize(
    ("told", "origin"),
    [
        ({"commit": "3f2c1a9", "branch": "main"}, "main@3f2c1a9"),
        ({"commit": "3f2c1a9"}, "3f2c1a9"),
        ({"branch": "main"}, "2026-05-04"),
        ({}, "2026-05-04"),
    ],
)
def test_a_stored_run_says_where_it_came_from(told, origin):
    assert stored(**told).origin == origin


def test_runs_under_the_same_conditions_are_comparable():
    runs = (stored(saved="1"), stored(saved="2", facts={**FACTS, "hardware": "T4"}), stored(saved="3"))
    assert [run.saved for run in History(runs=runs).comparable(measured())] == ["1", "3"]


@pytest.mark.parametrize("fact", MUST_MATCH)
def test_each_fact_that_must_match_can_prevent_a_comparison(fact):
    assert History(runs=(stored(),)).comparable(measured(**{fact: "another"})) == ()


def test_another_model_is_compared():
    assert len(History(runs=(stored(),)).comparable(measured(model="llama"))) == 1


def test_what_must_match_is_for_the_user_to_say():
    history = History(runs=(stored(),), must_match=("model",))
    assert len(history.comparable(measured(hardware="T4"))) == 1
    assert history.comparable(measured(model="llama")) == ()


def test_what_differs_is_told_of_the_newest_run():
    runs = (stored(facts={}), stored())
    assert History(runs=runs).differs(measured(hardware="T4", streaming="off")) == (
        "hardware: L4 then, T4 now; streaming: on then, off now"
    )


def test_what_differs_is_told_of_the_facts_that_must_match():
    history = History(runs=(stored(),), must_match=("model",))
    assert history.differs(measured(hardware="T4", model="llama")) == "model: qwen then, llama now"


def test_nothing_stored_differs_in_nothing():
    assert History().differs(measured()) == ""


def test_a_fact_known_on_one_side_only_differs():
    assert differences({}, {"hardware": "L4"}, names=MUST_MATCH) == ("hardware: not known then, L4 now",)


def test_a_fact_absent_on_both_sides_is_equal():
    assert differences({}, {}, names=MUST_MATCH) == ()


def test_a_changed_model_is_told_though_it_is_compared():
    assert History(runs=(stored(),)).changed(measured(model="llama")) == ("model: qwen then, llama now",)


def test_a_model_known_on_one_side_only_is_no_change():
    history = History(runs=(stored(facts={}),), must_match=())
    assert history.changed(measured(model="llama")) == ()


def test_what_must_match_is_not_told_again():
    history = History(runs=(stored(),), must_match=("model",))
    assert history.changed(measured(model="llama")) == ()


def test_nothing_comparable_has_not_changed():
    assert History(runs=(stored(),)).changed(measured(hardware="T4", model="llama")) == ()
