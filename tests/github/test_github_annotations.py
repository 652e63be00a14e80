"""Annotations on the test's line, and the step's summary."""

from __future__ import annotations

import json
import re

import pytest

from pytest_llmperf.cli import main
from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import Slo
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.github.annotations import annotate, command
from pytest_llmperf.reports.json import render


def scenario(outcome: str, *, name: str = "test_chat", reason: str = "p95 212 ms > 150 ms") -> Scenario:
    measured = Measurement(
        scenario=f"tests/test_chat.py::{name}", name=name, path="tests/test_chat.py", line=12, sent=30
    )
    return Scenario(measurement=measured, slo=Slo(), verdict=Verdict(outcome=Outcome(outcome), reason=reason))


def run_of(*scenarios: Scenario, **more) -> Run:
    return Run(started="2026-05-05T08:30:00Z", scenarios=scenarios, **more)


@pytest.fixture
def lines(tmp_path):
    def of(run: Run, *strict: str, directory: str = "") -> list[str]:
        found, _ = annotate(
            run,
            strict={Outcome(word) for word in strict},
            directory=tmp_path / directory,
            workspace=tmp_path,
        )
        return found

    return of


def test_a_broken_scenario_is_an_error_on_its_tests_line(lines):
    assert lines(run_of(scenario("failed"))) == [
        "::error file=tests/test_chat.py,line=12,title=test_chat failed::p95 212 ms > 150 ms"
    ]


def test_a_doubtful_scenario_is_a_warning_unless_it_is_strict(lines):
    run = run_of(scenario("no_baseline"))
    assert lines(run)[0].startswith("::warning ")
    assert lines(run, "no_baseline")[0].startswith("::error ")


@pytest.mark.parametrize("outcome", ["passed", "improved", "skipped"])
def test_a_good_scenario_is_not_annotated(lines, outcome):
    assert lines(run_of(scenario(outcome))) == []


def test_the_path_counts_from_the_checkouts_root(lines):
    assert (
        "file=services/bot/tests/test_chat.py,"
        in lines(run_of(scenario("failed")), directory="services/bot")[0]
    )


def test_what_could_end_an_annotation_early_is_escaped(lines):
    found = lines(run_of(scenario("failed", name="test[a:b,c]", reason="100 %\r\n::error::owned")))
    assert len(found) == 1
    line = found[0]
    assert "\n" not in line
    assert "\r" not in line
    assert "title=test[a%3Ab%2Cc] failed::100 %25" in line


def test_a_percent_sign_is_escaped():
    assert command("error", "50%") == "::error::50%25"


def test_errors_come_first_and_there_are_ten_of_them(tmp_path):
    doubtful = [scenario("unproven", name=f"test_doubt_{index}") for index in range(12)]
    run = run_of(*doubtful, scenario("failed"), problems=("a worker crashed",))
    found, left = annotate(run, strict=set(), directory=tmp_path, workspace=tmp_path)
    assert [line.split(" ")[0] for line in found] == ["::error"] * 2 + ["::warning"] * 8
    assert left == 4


def test_what_is_not_annotated_is_counted_in_the_summary(reported, step):
    reported(run_of(*(scenario("failed", name=f"test_{index}") for index in range(13))))
    assert "3 more are not annotated" in step.summary
    for index in range(13):
        assert f"test_{index}" in step.summary


@pytest.fixture
def reported(step, tmp_path):
    """Writes a run and reports it: the exit status."""

    def report(run: Run | None, *arguments: str, status: int = 1) -> int:
        folder = tmp_path / "project" / "llm-gate"
        folder.mkdir()
        if run is not None:
            (folder / "run.json").write_text(render(run), "utf-8")
            (folder / "report.html").touch()
        return main(["github", "report", "--status", str(status), *arguments])

    return report


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_exit_status_is_pytests(reported, status):
    assert reported(run_of(scenario("passed")), status=status) == status


def test_the_outputs_name_the_outcome_and_the_report(reported, step):
    reported(run_of(scenario("regressed")))
    assert step.outputs == {"outcome": "regressed", "report": "llm-gate/report.html"}


def test_the_summary_links_to_the_reports(reported, step):
    reported(run_of(scenario("failed")), "--artifact-url=https://github.example/artifact")
    assert step.summary.startswith("## ❌ llm performance: 1 failed")
    assert "[HTML report and run.json](https://github.example/artifact)" in step.summary
    assert "[the job](https://github.example/owner/project/actions/runs/55)" in step.summary


def test_the_annotations_are_printed(reported, capsys):
    reported(run_of(scenario("failed")))
    assert re.search(r"^::error file=tests/test_chat.py,line=12,", capsys.readouterr().out, re.MULTILINE)


def test_a_session_that_measured_nothing_is_told(reported, step, capsys):
    assert reported(None, status=4) == 4
    assert "pytest exited with 4" in step.summary
    assert "::error title=llm performance::nothing was measured" in capsys.readouterr().out
    assert step.outputs["outcome"] == "failed"


def test_a_skipped_gpu_gate_is_a_notice(reported, capsys, step):
    reported(run_of(scenario("passed"), environment={"backend": "mock"}), "--expected-backend=vllm", status=0)
    assert "::notice title=GPU gate skipped::measured on mock instead of vllm" in capsys.readouterr().out
    assert "GPU gate skipped" in step.summary


def test_unproven_is_an_error_when_the_workflow_says_so(reported, capsys):
    reported(run_of(scenario("unproven")), "--on-unproven=fail")
    assert capsys.readouterr().out.startswith("::error ")


def test_a_thousand_scenarios_fit_the_summary(reported, step):
    reported(run_of(*(scenario("failed", name=f"test_{index}_{'ş' * 50}") for index in range(1_000))))
    assert len(step.summary.encode()) < 2**20
    assert re.search(r"and \d+ more", step.summary)


def test_an_unknown_strict_word_is_refused(reported, capsys):
    assert reported(run_of(scenario("passed")), "--strict=everything") == 2
    assert "unproven" in capsys.readouterr().err


def test_the_outcome_of_a_hostile_name_stays_in_its_line(reported, step):
    reported(json_run())
    assert set(step.outputs) == {"outcome", "report"}


def json_run() -> Run:
    return run_of(scenario("failed", name="x\noutcome=passed", reason=json.dumps("a\nb")))
