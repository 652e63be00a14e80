"""``llmperf why``: three sentences and a command."""

from __future__ import annotations

import json
import shlex

import pytest

from pytest_llmperf.cli import main
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.reports.load import as_object

CHECK = {
    "metric": "latency",
    "statistic": "p95",
    "kind": "regression",
    "unit": "s",
    "limit": 1.1,
    "observed": 0.108,
    "low": 1.2,
    "high": 1.45,
    "n": 60,
    "baseline": 0.0815,
    "ratio": 1.33,
    "outcome": "regressed",
    "reason": "p95 108 ms (n=60), baseline 81.5 ms, x1.33, limit x1.10: proven",
    "more": None,
}
TTFT = {**CHECK, "metric": "ttft", "observed": 0.05, "reason": "ttft p95 is worse"}
LIMIT = {**CHECK, "kind": "limit", "limit": 0.1, "outcome": "failed", "low": 0.1, "high": None, "ratio": None}
RATE = {**LIMIT, "metric": "json_valid", "statistic": "rate", "unit": "", "limit": 0.98, "observed": 0.9}
FALL = {**CHECK, "metric": "success_rate", "statistic": "rate", "unit": "", "limit": None, "observed": 0.9}
FALL |= {"baseline": 1.0, "ratio": 0.9, "low": 0.8, "high": 0.97}
SLOW = {**LIMIT, "metric": "tokens_per_s", "statistic": "rate", "unit": "1/s", "limit": 40, "observed": 31}
NOTHING = {**LIMIT, "observed": None, "low": None, "reason": "p95 was not measured: no request succeeded"}
UNPROVEN = {**CHECK, "outcome": "unproven", "more": 240}


@pytest.fixture
def why(tmp_path, monkeypatch, capsys):
    """Runs the command on a run with one scenario: its lines."""
    monkeypatch.chdir(tmp_path)

    def run(outcome, *checks, arguments=("test_router",), environment=None, **more) -> list[str]:
        scenario = {
            "id": "tests/test_router.py::test_router",
            "name": "test_router",
            "path": "tests/test_router.py",
            "backend": "vllm",
            "model": "qwen",
            "outcome": outcome,
            "reason": "as its checks say",
            "checks": list(checks),
            "series": {},
            "requests": {"sent": 60, "failed": 0},
            "tokens": {},
            **more,
        }
        fine = {**scenario, "id": "tests/test_chat.py::test_chat", "name": "test_chat", "outcome": "passed"}
        document = {
            "schema": "pytest-llmperf/run/1",
            "outcome": outcome,
            "environment": environment or {},
            "scenarios": [{**fine, "checks": []}, scenario],
        }
        (tmp_path / "run.json").write_text(json.dumps(document), "utf-8")
        assert main(["why", "run.json", *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_a_regression_is_named_sized_and_settled(why):
    what, how_much, settles, *_ = why("regressed", TTFT, CHECK)
    assert (
        what
        == "test_router regressed: its p95 is past x1.10 of the baseline, and 1 more of its promises with it."
    )
    assert (
        how_much == "It was 108 ms (n=60), x1.33 of 81.5 ms in the baseline (95 % interval x1.20 to x1.45)."
    )
    assert settles.startswith("It is settled")
    assert "accept:" in settles


def test_a_check_that_holds_is_not_what_broke(why):
    broken = {**LIMIT, "metric": "ttft", "limit": 0.05}
    assert "ttft p95 misses the limit of 50 ms" in why("failed", {**CHECK, "outcome": "passed"}, broken)[0]


def test_what_it_is_made_of_stands_with_its_size(why):
    sentence = "TTFT +2 %, output tokens +31 %: longer answers, not a slower server"
    _, how_much, *_ = why("regressed", CHECK, explanation=sentence)
    assert how_much.endswith(f"x1.45). {sentence}.")


def test_a_broken_limit_is_held_against_the_limit(why):
    what, how_much, *_ = why("failed", LIMIT)
    assert what == "test_router failed: its p95 misses the limit of 100 ms."
    assert how_much == "It was 108 ms (n=60, 95 % interval from 100 ms up)."


def test_a_quantity_that_no_sentence_before_names_is_named(why):
    what, how_much, *_ = why("passed", {**LIMIT, "outcome": "passed"})
    assert "p95" not in what
    assert how_much == "Its p95 was 108 ms (n=60, 95 % interval from 100 ms up)."


def test_a_broken_share_sends_to_the_requests_that_failed_it(why):
    what, how_much, settles, *_ = why("failed", RATE)
    assert "json_valid misses the limit of 98 %" in what
    assert how_much.startswith("It was 90 %")
    assert "the requests that failed it" in settles


def test_a_share_that_fell_is_held_against_no_ratio(why):
    what, how_much, settles, *_ = why("regressed", FALL)
    assert what == "test_router regressed: its success_rate fell below the baseline's."
    assert how_much.startswith("It was 90 % (n=60), x0.90 of 100 % in the baseline")
    assert "the requests that failed it" in settles


def test_a_broken_limit_on_no_share_blames_no_requests(why):
    settles = why("failed", SLOW)[2]
    assert settles == "It is settled: that has to become better, or the limit is not one for this backend."


def test_a_step_that_regressed_sends_to_what_changed(why):
    settles = why("regressed", {**CHECK, "metric": "step:submit"})[2]
    assert "what changed since the baseline" in settles


def test_a_limit_in_doubt_takes_more_requests_and_no_other_arm(why):
    settles = why("inconclusive", {**LIMIT, "outcome": "inconclusive"})[2]
    assert settles == "More requests would settle it: --llm-max-iterations says how many there may be."


def test_a_load_that_was_not_carried_out_is_the_reason_and_what_to_mend(why):
    load = as_object(LoadReport(profile="20/s", planned=100, started=50, dropped=50, peak=9))
    what, _, settles, *_ = why("inconclusive", {**LIMIT, "outcome": "inconclusive"}, load=load)
    assert what.startswith("test_router is undecided: 50 of 100 arrivals were dropped")
    assert settles == "A run whose load is carried out as planned settles it."


@pytest.mark.parametrize("checks", [(), ({**NOTHING, "outcome": "inconclusive"},)], ids=["early", "missing"])
def test_what_cannot_be_settled_by_more_requests_does_not_ask_for_them(why, checks):
    settles = why("inconclusive", *checks)[2]
    assert settles == "A run in which that is measured, to its end, settles it."


def test_what_is_unproven_says_how_many_requests_would_settle_it(why):
    what, _, settles, *_ = why("unproven", UNPROVEN)
    assert what == "test_router is in doubt: its p95 may be past x1.10 of the baseline."
    assert "About 240 more requests" in settles
    assert "--llm-ab git:REV" in settles


def test_what_was_never_measured_has_no_number(why):
    what, how_much, settles, *_ = why("failed", NOTHING, requests={"sent": 30, "failed": 30})
    assert "no request succeeded" in what
    assert how_much == "30 requests were measured, 30 of which failed."
    assert settles == "Nothing can be judged until that is mended."


@pytest.mark.parametrize(
    ("outcome", "settles"),
    [
        ("passed", "Nothing has to be settled."),
        ("no_baseline", "pytest --save-baseline"),
        ("not_comparable", "A baseline of these conditions"),
    ],
)
def test_every_verdict_says_what_to_do(why, outcome, settles):
    assert settles in why(outcome)[2]


def test_without_a_name_it_is_the_worst_scenario(why):
    assert why("regressed", CHECK, arguments=())[0].startswith("test_router regressed")


def test_a_node_id_is_a_name_too(why):
    assert why("regressed", CHECK, arguments=("tests/test_router.py::test_router",))[0].startswith(
        "test_router "
    )


def test_the_last_line_measures_it_again(why):
    environment = {
        "seed": "7",
        "options": "--llm-model=qwen --llm-max-regression=5%",
        "directory": "services/bot",
    }
    line = why("regressed", CHECK, environment=environment)[-1]
    assert line == (
        "Again:  cd services/bot && pytest tests/test_router.py::test_router --llm-model=qwen "
        "--llm-max-regression=5% --llm-backend=vllm --llm-seed=7"
    )


def test_a_pool_is_measured_again_by_its_file(why):
    line = why("regressed", CHECK, id="frontdoor", arguments=("frontdoor",))[-1]
    assert line == "Again:  pytest tests/test_router.py --llm-backend=vllm"


def test_a_hostile_name_is_quoted(why):
    line = why("regressed", CHECK, id="tests/x.py::test[$(rm -rf ~)]")[-1]
    assert shlex.split(line.removeprefix("Again:"))[1] == "tests/x.py::test[$(rm -rf ~)]"


def test_an_unknown_name_names_the_nearest(why, capsys):
    why("regressed", CHECK)
    assert main(["why", "run.json", "test_ruoter"]) == 2
    assert 'Did you mean "test_router"?' in capsys.readouterr().err
