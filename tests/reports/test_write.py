from __future__ import annotations

import json
import os
import stat

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.reports import write as write_module
from pytest_llmperf.reports.write import REPORTS, SUFFIXES, check, replace, write


def test_the_suffix_names_the_format(runs, tmp_path):
    write(runs.of("passed"), ["run.json"], directory=tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["outcome"] == "passed"


def test_the_format_may_be_named(runs, tmp_path):
    write(runs.of("passed"), ["json=result"], directory=tmp_path)
    assert json.loads((tmp_path / "result").read_text())["outcome"] == "passed"


def test_folders_are_made(runs, tmp_path):
    write(runs.of("passed"), ["a/b/run.json"], directory=tmp_path)
    assert (tmp_path / "a" / "b" / "run.json").exists()


def test_what_was_written_is_said(runs, tmp_path):
    assert write(runs.of("passed"), ["a/run.json"], directory=tmp_path) == ["report written: a/run.json"]


def test_an_absolute_path_stays_where_it_points(runs, tmp_path):
    write(runs.of("passed"), [str(tmp_path / "run.json")], directory=tmp_path / "elsewhere")
    assert (tmp_path / "run.json").exists()


def test_a_path_with_an_equals_sign_can_be_given(runs, tmp_path):
    write(runs.of("passed"), ["./n=1.json"], directory=tmp_path)
    assert (tmp_path / "n=1.json").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("run.jsonn", "the suffix .jsonn names no report format; known are .json"),
        ("run", "no suffix names the report's format"),
        ("jsn=run.txt", 'jsn is not a report format. Did you mean "json"?'),
        ("junit.xml", "pytest's own --junitxml=PATH"),
        ("json=", "no suffix names the report's format"),
    ],
)
def test_a_target_that_names_no_format_is_refused_before_the_run(target, message):
    with pytest.raises(LlmPerfUsageError) as caught:
        check([target])
    assert message in str(caught.value)


def test_the_error_lists_every_suffix():
    with pytest.raises(LlmPerfUsageError) as caught:
        check(["run.txt"])
    assert all(suffix in str(caught.value) for suffix in SUFFIXES)


def test_one_file_for_two_reports_is_refused():
    with pytest.raises(LlmPerfUsageError, match="named twice"):
        check(["json=a.json", "./a.json"])


def test_nothing_is_written_when_one_target_is_wrong(runs, tmp_path):
    with pytest.raises(LlmPerfUsageError):
        write(runs.of("passed"), ["run.json", "run.txt"], directory=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", REPORTS)
def test_every_format_renders_every_kind_of_run(runs, tmp_path, name):
    write(runs.everything(), [f"{name}={tmp_path / 'report'}"], directory=tmp_path)
    assert (tmp_path / "report").stat().st_size


@pytest.mark.parametrize("name", REPORTS)
def test_every_format_renders_a_run_without_scenarios(runs, tmp_path, name):
    assert write(runs.of(), [f"{name}=report"], directory=tmp_path) == ["report written: report"]


def test_every_suffix_has_a_format():
    assert set(SUFFIXES.values()) <= set(REPORTS)


def test_a_file_that_cannot_be_written_is_named_and_the_others_are_written(runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LlmPerfUsageError, match=r"--llm-report file/run.json was not written: "):
        write(runs.of("passed"), ["file/run.json", "run.json"], directory=tmp_path)
    assert (tmp_path / "run.json").exists()


def test_a_bug_in_one_report_is_named_and_the_others_are_written(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(REPORTS, "csv", "builtins:int")
    with pytest.raises(
        LlmPerfUsageError, match=r"run.csv was not written, which is a bug of the csv report: Type"
    ):
        write(runs.of("passed"), ["run.csv", "run.json"], directory=tmp_path)
    assert (tmp_path / "run.json").exists()


def test_a_directory_in_the_place_of_the_report_is_named(runs, tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(LlmPerfUsageError, match="Is a directory"):
        write(runs.of("passed"), ["run.json"], directory=tmp_path)


def test_a_failed_write_leaves_the_old_report_and_no_remains(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    path.write_text("old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace(path, "new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("run.json", "old")]


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    path.chmod(0o640)
    replace(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    replace(tmp_path / "link", "new")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "target").read_text()) == (True, "new")


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    reader, writer = os.pipe()
    try:
        replace(write_module.Path(f"/dev/fd/{writer}"), "text")
        assert os.read(reader, 10) == b"text"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_text_is_written_piece_by_piece(tmp_path):
    replace(tmp_path / "report", iter(["one\n", "tw\ud800o"]))
    assert (tmp_path / "report").read_text("utf-8") == "one\ntw\\ud800o"


def test_a_text_whose_making_fails_in_the_middle_leaves_what_was_there(tmp_path):
    def pieces():
        yield "half"
        raise ZeroDivisionError

    (tmp_path / "report").write_text("old")
    with pytest.raises(ZeroDivisionError):
        replace(tmp_path / "report", pieces())
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (tmp_path / "report").read_text() == "old"
