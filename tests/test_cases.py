from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.cases import load_cases, shuffled
from pytest_llmperf.core.errors import LlmPerfUsageError

TWO = ({"say": "merhaba", "route": "smalltalk"}, {"say": "İPTAL et", "route": "calendar"})

FILES = {
    "cases.yaml": "- {say: merhaba, route: smalltalk}\n- {say: İPTAL et, route: calendar}\n",
    "cases.yml": "- {say: merhaba, route: smalltalk}\n- {say: İPTAL et, route: calendar}\n",
    "cases.json": '[{"say": "merhaba", "route": "smalltalk"}, {"say": "İPTAL et", "route": "calendar"}]',
    "cases.jsonl": '{"say": "merhaba", "route": "smalltalk"}\n\n{"say": "İPTAL et", "route": "calendar"}\n',
    "cases.csv": "say,route\nmerhaba,smalltalk\nİPTAL et,calendar\n",
    "CASES.CSV": 'say,route\r\n"merhaba",smalltalk\r\nİPTAL et,calendar\r\n',
}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", FILES)
def test_cases_are_read_from_every_kind_of_file(tmp_path, name, mark):
    path = tmp_path / name
    path.write_bytes((mark + FILES[name]).encode())
    assert load_cases(path) == TWO


def test_a_line_end_of_unicode_inside_a_json_text_is_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"say": "a\u2028b\x85c"}\n', "utf-8", newline="\n")
    assert load_cases(path) == ({"say": "a\u2028b\x85c"},)


def test_a_field_of_several_lines_is_one_field(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('say\n"one\ntwo"\n', "utf-8")
    assert load_cases(path) == ({"say": "one\ntwo"},)


def test_a_case_may_be_anything(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("[merhaba, 7, null]")
    assert load_cases(path) == ("merhaba", 7, None)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "hi", "cases are read from .yaml, .yml, .json, .jsonl, .csv files."),
        ("a", "hi", "cases are read from .yaml, .yml, .json, .jsonl, .csv files."),
        ("a.yaml", "a: [", "cases cannot be read"),
        ("a.json", "[1,", "cases cannot be read"),
        ("a.jsonl", "1\n2\n{\n", "cases cannot be read: line 3: "),
        ("a.csv", "say,route\nhi\n", "cases cannot be read: line 2: not as many fields as the header has"),
        ("a.csv", "say\nhi\na,b\n", "cases cannot be read: line 3: not as many fields as the header has"),
        ("a.csv", 'say\n"hi\n', "cases cannot be read"),
        ("a.yaml", "", "expected a list with at least one case."),
        ("a.yaml", "[]", "expected a list with at least one case."),
        ("a.yaml", "say: hi", "expected a list with at least one case."),
        ("a.json", '"hi"', "expected a list with at least one case."),
        ("a.jsonl", "\n", "expected a list with at least one case."),
        ("a.csv", "say,route\n", "expected a list with at least one case."),
    ],
)
def test_a_file_without_cases_is_named(tmp_path, name, text, sentence):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LlmPerfUsageError) as error:
        load_cases(path)
    assert str(error.value).startswith(f"{path}: {sentence}")


@pytest.mark.parametrize("name", ["missing.yaml", "folder.json"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(LlmPerfUsageError, match="cases cannot be read"):
        load_cases(tmp_path / name)


def test_text_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("say\nıspanak\n".encode("cp1254"))
    with pytest.raises(LlmPerfUsageError, match="cases cannot be read"):
        load_cases(path)


# The order


@given(st.lists(st.integers(), min_size=1, max_size=20), st.integers(0, 99))
def test_every_round_has_every_case_once(cases, seed):
    order = shuffled(cases, seed=seed, scenario="a")
    for _ in range(3):
        assert sorted(itertools.islice(order, len(cases))) == sorted(cases)


def first(*, seed=0, scenario="a"):
    return list(itertools.islice(shuffled(range(50), seed=seed, scenario=scenario), 100))


def test_the_same_seed_and_scenario_meet_the_same_prompts():
    assert first() == first()


def test_another_seed_is_another_order():
    assert first(seed=1) != first()


def test_another_scenario_has_an_order_of_its_own():
    assert first(scenario="b") != first()


def test_rounds_differ():
    order = first()
    assert order[:50] != order[50:]


def test_the_order_is_the_same_in_every_process():
    assert list(itertools.islice(shuffled("abcdef", seed=0, scenario="a"), 6)) == list("debafc")
