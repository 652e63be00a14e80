from __future__ import annotations

from pytest_llmperf.reports.junit import properties


def test_the_outcome_and_the_percentiles_are_properties(runs):
    found = dict(properties(runs.scenario("regressed")))
    assert (found["llmperf.outcome"], found["llmperf.p95_ms"], found["llmperf.baseline_ratio"]) == (
        "regressed",
        "228.841",
        "1.80721",
    )


def test_what_does_not_exist_is_no_property(runs):
    assert "llmperf.p95_ms" not in dict(properties(runs.scenario("silent")))


def test_names_and_values_are_text(runs):
    assert {type(part) for pair in properties(runs.scenario("priced")) for part in pair} == {str}
