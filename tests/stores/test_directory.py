from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.stores import directory
from pytest_llmperf.stores.directory import KEPT, DirectoryStore

ID = "examples/assistant/test_assistant.py::test_router"
FACTS = {"backend kind": "openai", "hardware": "RTX 4060", "streaming": "on", "model": "qwen"}
OTHER = {**FACTS, "hardware": "L4"}


def run(day=1, *, facts=FACTS, anchor=False, scenario=ID, **more):
    return StoredRun(
        scenario=scenario,
        saved=f"2026-05-{day:02}T10:00:00+00:00",
        commit="3f2c1a9",
        branch="main",
        anchor=anchor,
        facts=facts,
        **{
            "series": {"latency_s": (0.11, 0.12), "ttft_s": (0.05,)},
            "proportions": {"pass_rate": Count(successes=2, trials=2)},
            **more,
        },
    )


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path / "baselines")


@pytest.fixture
def saved(store):
    """The file of one stored run."""
    return store.save(run(), append=False)


def days(store, scenario=ID):
    return [int(each.saved[8:10]) for each in store.history(scenario).runs]


# There and back


def test_what_was_saved_is_read(store):
    store.save(run(anchor=True), append=False)
    assert store.history(ID).runs == (run(anchor=True),)


def test_nothing_saved_is_an_empty_history(store):
    history = store.history(ID)
    assert (history.runs, history.problem) == ((), None)


def test_reading_makes_no_directory(store):
    store.history(ID)
    assert not store.root.exists()


def test_runs_come_oldest_first(store):
    for day in (7, 3, 5):
        store.save(run(day), append=True)
    assert days(store) == [3, 5, 7]


def test_what_must_match_is_passed_on(tmp_path):
    store = DirectoryStore(tmp_path, must_match=("model",))
    store.save(run(), append=False)
    measured = Measurement(scenario=ID, name="a", facts={**OTHER, "model": "qwen"})
    assert len(store.history(ID).comparable(measured)) == 1
    assert store.history(ID).must_match == ("model",)


@given(
    st.dictionaries(st.text(), st.lists(st.floats(1e-9, 1e6), max_size=5).map(tuple), max_size=3),
    st.text(min_size=1),
    st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_any_run_comes_back_to_five_digits(tmp_path_factory, series, scenario, facts):
    store = DirectoryStore(tmp_path_factory.mktemp("store"))
    store.save(run(scenario=scenario, facts=facts, series=series), append=False)
    found = store.history(scenario).runs[0]
    assert (found.scenario, dict(found.facts)) == (scenario, facts)
    assert {name: pytest.approx(values, rel=1e-4) for name, values in series.items()} == found.series


# One directory per scenario and environment, one file per run


def test_the_directories_can_be_recognised(saved, store):
    scenario, environment = saved.relative_to(store.root).parent.parts
    assert scenario.startswith("test-assistant-py-test-router-")
    assert environment.startswith("openai-RTX-4060-")
    assert saved.name.startswith("20260501100000-")


def test_a_slash_in_a_parameter_does_not_hide_the_test(store):
    path = store.save(run(scenario="tests/test_a.py::test_b[Qwen/Qwen2.5]"), append=False)
    assert path.relative_to(store.root).parts[0].startswith("test-a-py-test-b-Qwen-Qwen2-5-")


def test_a_scenario_without_a_backend_has_an_environment_too(store):
    path = store.save(run(facts={}), append=False)
    assert path.parent.name.startswith("any-")


@pytest.mark.parametrize("other", [ID.upper(), f"{ID}[a]", "ıspanak", "ispanak", "a/b", "a-b"])
def test_names_that_look_alike_are_kept_apart(store, other):
    store.save(run(scenario=ID), append=False)
    store.save(run(scenario=f"{other} "), append=False)
    store.save(run(scenario=other), append=False)
    assert len(store.history(other).runs) == 1


def test_saving_replaces_its_own_environment_only(store):
    store.save(run(1, facts=OTHER), append=False)
    store.save(run(2), append=False)
    store.save(run(3), append=False)
    assert days(store) == [1, 3]
    assert all(each.anchor for each in store.history(ID).runs)


def test_another_model_is_the_same_environment(store):
    store.save(run(1), append=False)
    store.save(run(2, facts={**FACTS, "model": "llama"}), append=False)
    assert days(store) == [2]


def test_saving_leaves_other_scenarios_alone(store):
    store.save(run(1, scenario="other"), append=False)
    store.save(run(2), append=False)
    assert days(store, "other") == [1]


# Appending


def test_appending_adds_one(store):
    store.save(run(1), append=False)
    store.save(run(2), append=True)
    assert days(store) == [1, 2]


def test_appending_keeps_the_newest_and_the_anchor(store):
    store.save(run(1, anchor=True), append=False)
    for day in range(2, KEPT + 5):
        store.save(run(day), append=True)
    assert days(store) == [1, *range(5, KEPT + 5)]
    assert [each.anchor for each in store.history(ID).runs] == [True] + [False] * KEPT


def test_the_first_run_is_an_anchor_however_it_was_saved(store):
    store.save(run(1), append=True)
    store.save(run(2), append=True)
    assert [each.anchor for each in store.history(ID).runs] == [True, False]


def test_appending_leaves_other_environments_alone(store):
    store.save(run(1, facts=OTHER), append=False)
    for day in range(2, KEPT + 6):
        store.save(run(day), append=True)
    assert 1 in days(store)


def test_runs_that_two_branches_add_merge(tmp_path):
    ours, theirs = (DirectoryStore(tmp_path / side) for side in ("ours", "theirs"))
    base = ours.save(run(1, anchor=True), append=False)
    shared = theirs.root / base.relative_to(ours.root)
    shared.parent.mkdir(parents=True)
    shared.write_bytes(base.read_bytes())
    ours.save(run(2), append=True)
    theirs.save(run(2), append=True)  # in the same second
    for path in theirs.root.rglob("*.json"):
        to = ours.root / path.relative_to(theirs.root)
        assert to == base or not to.exists()
        to.write_bytes(path.read_bytes())
    assert days(ours) == [1, 2, 2]


# Files that people review


def test_the_same_run_is_the_same_text(store):
    first = store.save(run(), append=False).read_text()
    again = store.save(run(facts=dict(reversed(FACTS.items()))), append=False).read_text()
    assert first == again


def test_a_file_is_a_header_and_one_line_per_series(saved):
    lines = saved.read_text().splitlines()
    assert lines[:5] == [
        "{",
        ' "llmperf_baseline": 1,',
        f' "scenario": "{ID}",',
        ' "saved": "2026-05-01T10:00:00+00:00",',
        ' "commit": "3f2c1a9",',
    ]
    assert '  "latency_s": [0.11, 0.12],' in lines


def test_the_suite_of_a_team_stays_small(tmp_path):
    rng = random.Random(1)
    store = DirectoryStore(tmp_path)
    names = {"latency_s": 0.8, "ttft_s": 0.2, "itl_s": 0.011, "tpot_s": 0.012, "task_s": 0.9}
    for scenario in range(5):  # a tenth of 50
        for day in range(1, 6):
            series = {
                name: tuple(middle * rng.lognormvariate(0, 0.3) for _ in range(200))
                for name, middle in names.items()
            }
            store.save(run(day, scenario=f"test_{scenario}", series=series), append=True)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.json")]
    assert len(sizes) == 25
    assert 10 * sum(sizes) < 3_000_000


# What else lies about


@pytest.mark.parametrize("where", [".", "..", "../.."])
@pytest.mark.parametrize("name", ["README.md", ".gitkeep", ".DS_Store", "notes.tmp"])
def test_foreign_files_are_left_alone(saved, store, where, name):
    foreign = saved.parent / where / name
    foreign.write_text("mine")
    store.save(run(2), append=False)
    assert foreign.read_text() == "mine"
    assert days(store) == [2]


# Files that cannot be trusted


def truncated(text):
    return text[: len(text) // 2]


def edited(text):
    return text.replace("0.11", "0.21")


def reviewed(text):
    return text.replace('"branch": "main"', '"branch": "mine"')


def newer(text):
    return text.replace('"llmperf_baseline": 1', '"llmperf_baseline": 2')


CORRUPT = {
    "truncated": (truncated, "cannot be read as a baseline"),
    "empty": (lambda _: "", "cannot be read as a baseline"),
    "in conflict": (lambda text: f"<<<<<<< HEAD\n{text}=======\n", "cannot be read as a baseline"),
    "too deep": (lambda _: "[" * 100_000, "cannot be read as a baseline"),
    "a list": (lambda _: "[]", "is not a baseline of pytest-llmperf"),
    "foreign": (lambda _: '{"a": 1}', "is not a baseline of pytest-llmperf"),
    "without a number": (
        lambda text: text.replace('"llmperf_baseline": 1', '"llmperf_baseline": "1"'),
        "is not a baseline of pytest-llmperf",
    ),
    "of no schema": (
        lambda text: text.replace('"llmperf_baseline": 1', '"llmperf_baseline": 0'),
        "is not a baseline of pytest-llmperf",
    ),
    "newer": (newer, "has schema 2, and this version reads up to 1. Upgrade pytest-llmperf"),
    "edited": (edited, "was changed after it was saved"),
    "edited in its header": (reviewed, "was changed after it was saved"),
    "without its checksum": (
        lambda _: json.dumps({"llmperf_baseline": 1, "scenario": ID}),
        "was changed after it was saved",
    ),
    "of another scenario": (None, "holds scenario 'other', expected"),
    "no text": (b"\xff\xfe\x00", "cannot be read as a baseline"),
    "a directory": ("directory", "cannot be read as a baseline"),
}


def corrupt(path: Path, how, store: DirectoryStore) -> None:
    if how is None:
        path.write_bytes(store.save(run(scenario="other"), append=False).read_bytes())
    elif how == "directory":
        path.unlink()
        path.mkdir()
    elif isinstance(how, bytes):
        path.write_bytes(how)
    else:
        path.write_text(how(path.read_text()))


@pytest.mark.parametrize("kind", CORRUPT)
def test_a_file_that_cannot_be_trusted_is_named(saved, store, kind):
    how, sentence = CORRUPT[kind]
    corrupt(saved, how, store)
    history = store.history(ID)
    assert history.runs == ()
    assert history.problem.startswith(f"{saved} ")
    assert sentence in history.problem
    assert "delete" in history.problem


@pytest.mark.parametrize("append", [True, False])
@pytest.mark.parametrize("kind", CORRUPT)
def test_a_file_that_cannot_be_trusted_is_not_replaced(saved, store, kind, append):
    how, _ = CORRUPT[kind]
    corrupt(saved, how, store)
    before = sorted(saved.parent.iterdir())
    with pytest.raises(LlmPerfUsageError, match="delete"):
        store.save(run(2), append=append)
    assert sorted(saved.parent.iterdir()) == before


def test_a_bad_file_of_another_environment_is_not_ignored(saved, store):
    store.save(run(2, facts=OTHER), append=False)
    saved.write_text("")
    assert str(saved) in store.history(ID).problem


def test_a_bad_file_of_another_scenario_does_no_harm(saved, store):
    store.save(run(2, scenario="other"), append=False)
    saved.write_text("")
    assert days(store, "other") == [2]


def test_a_missing_file_is_noticed(saved, store):
    saved.unlink()
    assert store.history(ID).problem == (
        f"{saved.parent} holds no run. Restore its file, or delete the directory."
    )


def test_deleting_the_file_as_told_lets_the_next_one_be_saved(saved, store):
    saved.write_text("")
    saved.unlink()
    store.save(run(2), append=False)
    assert days(store) == [2]


def test_line_ends_of_another_system_are_no_edit(saved, store):
    saved.write_bytes(saved.read_bytes().replace(b"\n", b"\r\n"))
    assert store.history(ID).problem is None


# Crashes


class Crash(BaseException):
    """What no one catches."""


def crash(*_, **__):
    raise Crash


@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("append", [True, False])
def test_a_crash_before_the_rename_leaves_the_old_file(saved, store, monkeypatch, moment, append):
    before = saved.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(moment, crash)
        with pytest.raises(Crash):
            store.save(run(2), append=append)
    assert [path.read_bytes() for path in store.root.rglob("*.json")] == [before]
    assert days(store) == [1]


def test_a_crash_at_the_first_save_leaves_nothing_that_looks_like_a_loss(store, monkeypatch):
    # A kill leaves the temporary file behind, too.
    with monkeypatch.context() as patch:
        patch.setattr(directory.os, "fsync", crash)
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        with pytest.raises(Crash):
            store.save(run(), append=False)
    assert list(store.root.rglob("*.tmp"))
    assert store.history(ID) == DirectoryStore(store.root / "none").history(ID)


def test_a_crash_after_the_rename_loses_no_run(saved, store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStore, "_obsolete", crash)
        with pytest.raises(Crash):
            store.save(run(2), append=False)
    assert days(store) == [1, 2]


def test_nothing_temporary_is_left(saved, store):
    assert [path for path in store.root.rglob("*") if path.is_file()] == [saved]


# For the command line


def test_groups_are_the_runs_of_each_scenario_and_environment(store):
    store.save(run(1), append=False)
    store.save(run(2), append=True)
    store.save(run(3, facts=OTHER), append=False)
    store.save(run(4, scenario="other"), append=False).write_text("")
    assert sorted([each.saved[8:10] for each in group] for group in store.groups()) == [["01", "02"], ["03"]]


def test_every_bad_file_is_reported(saved, store):
    store.save(run(2, scenario="other"), append=False)
    assert store.problems() == []
    saved.write_text("")
    assert [problem.partition(" ")[0] for problem in store.problems()] == [str(saved)]


def test_pruning_keeps_the_newest_and_the_anchor(store):
    store.save(run(1, anchor=True), append=False)
    for day in (2, 3, 4):
        store.save(run(day), append=True)
    store.save(run(5, scenario="other"), append=False)
    assert len(store.prune(1, "router")) == 2
    assert (days(store), days(store, "other")) == ([1, 4], [5])


def test_a_stored_run_knows_where_it_came_from(saved, store):
    assert store.history(ID).runs[0].origin == "main@3f2c1a9"


def test_only_the_name_tells_two_equal_runs_apart(store):
    store.save(run(), append=False)
    first, second = store.save(run(), append=True), store.save(run(), append=True)
    assert first != second
    assert first.read_text() == second.read_text()
