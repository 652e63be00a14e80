from __future__ import annotations

import pytest

from pytest_llmperf.core.measurement import Count, Measurement, TokenTotals
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import Slo, parse_limit
from pytest_llmperf.core.verdict import Verdict
from pytest_llmperf.core.versus import keep_small, versus
from pytest_llmperf.core.yardsticks import Reference, Yardsticks


def limits(**figures):
    return tuple(parse_limit(key, value) for key, value in figures.items())


def run(*measured, keep=(), **references):
    figures = tuple(Reference(name=name, figures=limits(**given)) for name, given in references.items())
    return Run(
        started="",
        scenarios=tuple(
            Scenario(measurement=one, slo=Slo(), verdict=Verdict(outcome=Outcome.PASSED, reason=""))
            for one in measured
        ),
        yardsticks=Yardsticks(keep_small=keep, references=figures),
    )


def measured(name="t", *, latency=0.45, passed=27, tokens=60.0, model="1B", **more):
    return Measurement(
        scenario=name,
        name=name,
        model=model,
        series={"latency_s": (latency,) * 30},
        proportions={"pass_rate": Count(successes=passed, trials=30)},
        sent=30,
        tokens=TokenTotals(output=int(tokens * 10)),
        busy_s=10.0,
        **more,
    )


def test_an_improvement_is_a_share_of_what_was_published():
    found = versus(run(measured(), gpt={"p95_ms": 900, "tokens_per_s": 40, "pass_rate": 0.75}))
    assert {one.label: one.improvement for one in found} == pytest.approx(
        {"p95": 0.5, "tokens_per_s": 0.5, "pass_rate": 0.2}
    )


def test_what_is_worse_than_published_is_negative():
    found = versus(run(measured(), gpt={"p95_ms": 300, "tokens_per_s": 120}))
    assert [one.improvement for one in found] == pytest.approx([-0.5, -0.5])


def test_a_share_that_was_published_as_zero_has_no_percentage():
    assert versus(run(measured(), gpt={"pass_rate": 0}))[0].improvement == 0


def test_what_was_not_measured_is_not_compared():
    assert versus(run(measured(), gpt={"ttft_p95_ms": 300})) == []


def test_every_scenario_stands_against_every_reference():
    found = versus(run(measured("t"), measured("u"), gpt={"p95_ms": 900}, llama={"p95_ms": 500}))
    assert [(one.scenario, one.reference) for one in found] == [
        ("t", "gpt"),
        ("t", "llama"),
        ("u", "gpt"),
        ("u", "llama"),
    ]


KEEP = limits(p50_s=2, tokens_per_s=20, pass_rate=0.67)


@pytest.mark.parametrize(
    ("one", "line"),
    [
        ({}, "1B: keep small, it meets p50_s, tokens_per_s, pass_rate in every scenario"),
        ({"passed": 18}, "1B: try a bigger model (pass_rate 60 % < 67 % in t)"),
        ({"latency": 2.4}, "1B: too slow here, and a bigger model is slower still (p50 2.40 s > 2 s in t)"),
        (
            {"latency": 2.001},
            "1B: too slow here, and a bigger model is slower still (p50 2.001 s > 2 s in t)",
        ),
        (
            {"tokens": 12},
            "1B: too slow here, and a bigger model is slower still (tokens_per_s 12/s < 20/s in t)",
        ),
        (
            {"latency": 2.4, "passed": 18},
            (
                "1B: needs a bigger model and faster hardware "
                "(p50 2.40 s > 2 s in t; pass_rate 60 % < 67 % in t)"
            ),
        ),
    ],
)
def test_the_word_on_a_small_model(one, line):
    assert keep_small(run(measured(**one), keep=KEEP)) == [line]


def test_a_value_at_its_limit_is_good_enough():
    assert "keep small" in keep_small(run(measured(latency=2.0), keep=limits(p50_s=2)))[0]


def test_there_is_a_line_for_every_set_up():
    found = keep_small(run(measured(setup="a"), measured(setup="b", latency=3.0), keep=KEEP))
    assert [line.partition(":")[0] for line in found] == ["a", "b"]


def test_nothing_is_said_where_nothing_was_asked_for():
    assert keep_small(run(measured())) == []


def test_a_scenario_without_requests_says_nothing_of_a_model():
    assert keep_small(run(Measurement(scenario="t", name="t"), keep=KEEP)) == []


def test_what_was_not_measured_leaves_the_question_open():
    found = keep_small(run(measured(), keep=limits(ttft_p95_s=1)))
    assert found == ["1B: no word on its size, nothing of ttft_p95_s was measured"]


def test_a_model_without_a_name_is_named_by_its_backend():
    assert keep_small(run(measured(model="", backend="ollama"), keep=KEEP))[0].startswith("ollama: ")
