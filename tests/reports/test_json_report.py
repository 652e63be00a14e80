from __future__ import annotations

import dataclasses
import json
import math

import jsonschema
import pytest

from pytest_llmperf.core.baseline import StoredRun
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.plain import UNSAFE
from pytest_llmperf.reports.json import pieces, render
from pytest_llmperf.reports.parse import parse, schema
from pytest_llmperf.reports.terminal import render as terminal

#: Exactly the fields that other programs may rely on, and nothing more.
PROMISED = {
    "schema": "pytest-llmperf/run/1",
    "outcome": "failed",
    "environment": {},
    "scenarios": [
        {
            "id": "tests/test_a.py::test_router",
            "name": "test_router",
            "backend": "mock",
            "model": "mock-1",
            "outcome": "failed",
            "checks": [
                {
                    "metric": "latency",
                    "statistic": "p95",
                    "kind": "limit",
                    "unit": "s",
                    "limit": 0.15,
                    "observed": 0.212,
                    "low": 0.188,
                    "high": None,
                    "n": 3,
                    "baseline": None,
                    "ratio": None,
                    "outcome": "failed",
                    "reason": "p95 212 ms > 150 ms",
                }
            ],
            "series": {"latency_s": [0.2, 0.21, 0.212], "ttft_s": [0.1, 0.1, 0.1]},
            "requests": {"sent": 4, "failed": 1},
            "tokens": {},
        }
    ],
}


def document(run):
    return json.loads(render(run))


def test_a_report_is_valid_against_its_schema(runs):
    jsonschema.Draft202012Validator(schema()).validate(document(runs.everything()))


def test_the_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(schema())


def closed(part):
    """The schema with every described object shut against fields that it does not describe."""
    if isinstance(part, list):
        return [closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    shut = {key: closed(value) for key, value in part.items()}
    return {**shut, "additionalProperties": False} if isinstance(shut.get("properties"), dict) else shut


def test_every_field_of_a_report_is_described(runs):
    jsonschema.Draft202012Validator(closed(schema())).validate(document(runs.everything()))


def test_the_outcomes_of_the_schema_are_those_of_the_gate():
    assert schema()["$defs"]["outcome"]["enum"] == [outcome.value for outcome in Outcome]


def test_what_the_interface_promises_is_what_the_schema_requires():
    promised = PROMISED["scenarios"][0]
    required = schema()["$defs"]
    assert (set(required["scenario"]["required"]), set(required["check"]["required"])) == (
        set(promised),
        set(promised["checks"][0]),
    )


def test_the_session_s_outcome_is_the_worst(runs):
    assert document(runs.of("passed", "regressed"))["outcome"] == "regressed"


def test_series_are_in_time_order(runs):
    scenario = runs.scenario("passed")
    assert document(runs.of("passed"))["scenarios"][0]["series"]["latency_s"] == list(
        scenario.measurement.series["latency_s"]
    )


def test_an_infinite_number_is_null(runs):
    scenario = runs.scenario("passed")
    check = dataclasses.replace(scenario.verdict.checks[0], ratio=math.inf)
    verdict = dataclasses.replace(scenario.verdict, checks=(check,))
    run = runs.run_of(dataclasses.replace(scenario, verdict=verdict))
    assert document(run)["scenarios"][0]["checks"][0]["ratio"] is None


def test_no_character_that_could_command_a_terminal_is_written_raw(runs):
    text = render(runs.of("hostile", "unreachable"))
    assert not UNSAFE.search(text.replace("\n", ""))


def test_a_lone_surrogate_can_be_written(runs):
    text = render(runs.of(problems=("bad byte \udcff",)))
    assert json.loads(text.encode())["problems"] == ["bad byte \udcff"]


def test_turkish_names_stay_readable_in_the_file(runs):
    assert "sağlık" in render(runs.of("pooled"))


def test_a_series_takes_one_line(runs):
    lines = [line for line in render(runs.of("passed")).splitlines() if '"latency_s"' in line]
    assert all(line.rstrip(",").endswith("]") for line in lines)


def comparable(run):
    """*run* without what a report leaves out: cases, how the SLO was merged, and most of a stored run."""

    def told(one):
        series = {name: tuple(round(value, 9) for value in values) for name, values in one.series.items()}
        return StoredRun(scenario=one.scenario, saved="", label=one.origin, facts=one.facts, series=series)

    return dataclasses.replace(
        run,
        scenarios=tuple(
            dataclasses.replace(
                scenario,
                slo=dataclasses.replace(scenario.slo, cases=None, expected_json=False, notes=()),
                stored=tuple(map(told, scenario.stored)),
            )
            for scenario in run.scenarios
        ),
    )


def test_a_report_reads_back_as_the_run_it_was_made_from(runs):
    run = runs.everything()
    assert parse(render(run)) == comparable(run)


def test_the_cases_are_not_in_the_report(runs):
    promise = runs.slo(p95_ms=100, cases=["a confidential contract"])
    assert "confidential" not in render(runs.run_of(runs.judged(runs.measured(), promise)))


def test_a_report_with_the_promised_fields_alone_is_read():
    assert parse(json.dumps(PROMISED)).scenarios[0].measurement.series["latency_s"] == (0.2, 0.21, 0.212)


def test_the_reason_is_taken_from_the_checks_where_none_is_written():
    assert parse(json.dumps(PROMISED)).scenarios[0].verdict.reason == "p95 212 ms > 150 ms"


def test_requests_that_failed_are_known_where_no_proportion_is_written():
    assert parse(json.dumps(PROMISED)).scenarios[0].measurement.proportions["success_rate"].successes == 3


def test_limits_are_known_where_no_slo_is_written():
    assert parse(json.dumps(PROMISED)).scenarios[0].slo.limits[0].bound == 0.15


def test_a_report_with_the_promised_fields_alone_can_be_shown():
    lines = terminal(parse(json.dumps(PROMISED)), width=80, verbosity=0)
    text = ["".join(part for part, *_ in line) for line in lines]
    assert any(line.startswith("test_router ") and "failed" in line for line in text)


def test_fields_of_a_later_version_are_ignored():
    more = {**PROMISED, "later": 1, "scenarios": [{**PROMISED["scenarios"][0], "later": {"a": 1}}]}
    assert parse(json.dumps(more)) == parse(json.dumps(PROMISED))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "now.json is not JSON: "),
        ('{"schema": NaN}', "now.json is not JSON: NaN is not a JSON number"),
        ("[]", "now.json is not a report of pytest-llmperf"),
        ('{"schema": "pytest-llmperf/run/2"}', "this version reads 'pytest-llmperf/run/1'"),
        ('{"schema": "pytest-llmperf/run/1"}', "now.json: $: 'outcome' is a required property"),
        (json.dumps({**PROMISED, "outcome": "green"}), r"now.json: $.outcome: 'green' is not one of"),
        (
            json.dumps(
                {**PROMISED, "scenarios": [{**PROMISED["scenarios"][0], "series": {"latency_s": ["1"]}}]}
            ),
            r"now.json: $.scenarios[0].series.latency_s[0]: '1' is not of type 'number'",
        ),
    ],
)
def test_what_is_no_report_is_refused_by_name_and_place(text, message):
    with pytest.raises(LlmPerfUsageError) as caught:
        parse(text, where="now.json")
    assert message in str(caught.value)


def test_every_time_that_a_page_shows_of_the_baseline_is_in_the_report(runs):
    """So that a page made from run.json is the page of the session."""
    from pytest_llmperf.reports.html import render as page

    scenario = runs.scenario("passed")
    more = {"tpot_s": (0.001,) * 20, "task_s": (0.2,) * 20, "step:job_s": (0.1,) * 20, "wait_s": (0.0,) * 20}
    stored = tuple(dataclasses.replace(run, series={**run.series, **more}) for run in scenario.stored)
    measured = dataclasses.replace(
        scenario.measurement, series={**scenario.measurement.series, **more}, steps=("job",)
    )
    run = runs.run_of(dataclasses.replace(scenario, stored=stored, measurement=measured))
    assert page(parse(render(run))) == page(run)
    assert "wait_s" not in json.loads(render(run))["scenarios"][0]["compared_with"][0]["series"]


def test_many_samples_are_written_in_pieces(runs):
    scenario = runs.scenario("passed")
    values = tuple(index / 7 for index in range(20_000))
    series = {"latency_s": values, "output_tokens": (3.0,) * len(values)}
    many = dataclasses.replace(scenario, measurement=dataclasses.replace(scenario.measurement, series=series))
    run = runs.run_of(many)
    text = list(pieces(run))
    assert max(map(len, text)) < len("".join(text)) / 4
    assert "".join(text) == render(run)
    written = json.loads(render(run))["scenarios"][0]["series"]
    assert written["latency_s"] == [round(value, 9) for value in values]
    assert f'"output_tokens": [{", ".join(["3"] * len(values))}]' in render(run)


def test_tokens_that_are_no_whole_numbers_stay_what_they_are(runs):
    scenario = runs.scenario("passed")
    measured = dataclasses.replace(scenario.measurement, series={"output_tokens": (2.5, 3.0)})
    run = runs.run_of(dataclasses.replace(scenario, measurement=measured))
    assert json.loads(render(run))["scenarios"][0]["series"]["output_tokens"] == [2.5, 3]
