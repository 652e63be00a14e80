from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmperf.core import codec
from pytest_llmperf.core.baseline import History
from pytest_llmperf.core.exchange import TokenSource
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.measurement import CheckCount, Count, FailureCount, Measurement, TokenTotals
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.run import Scenario
from pytest_llmperf.core.slo import build, parse_arguments
from pytest_llmperf.core.verdict import Verdict

SLO = build(parse_arguments({"p99_ms": 150, "json_valid": 0.9, "accuracy": {"yön": 0.5}}, where="here"))
MEASURED = Measurement(
    scenario="tests/test_a.py::test_ıspanak[ğ]",
    name="test_ıspanak[ğ]",
    facts={"hardware": "RTX 4060", "streaming": "on"},
    iterations=3,
    series={"latency_s": (0.1, 0.30000000000000004, 1e-9), "cost_usd": ()},
    proportions={"pass_rate": Count(successes=2, trials=3)},
    checks=(CheckCount(name="yön", label=None, count=Count(successes=1, trials=1)),),
    sent=3,
    failed=1,
    failures=(FailureCount(kind="connect", count=1, example='refused "here"\n\u2028'),),
    tokens=TokenTotals(input=10, output=5, sources=(TokenSource.SERVER, TokenSource.ESTIMATE)),
    warnings=("hot",),
)
SCENARIO = Scenario(measurement=MEASURED, slo=SLO, verdict=judge(MEASURED, SLO, History()))


def test_a_scenario_comes_back_as_it_went():
    assert codec.loads(codec.dumps(SCENARIO), Scenario) == SCENARIO


def test_both_arms_come_back():
    both = replace(SCENARIO, base=MEASURED)
    assert codec.loads(codec.dumps(both), Scenario) == both


@given(
    st.dictionaries(st.text(), st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple)),
    st.dictionaries(st.text(), st.text()),
    st.text(),
    st.sampled_from(Outcome),
)
def test_any_text_and_number_comes_back(series, facts, reason, outcome):
    scenario = Scenario(
        measurement=replace(MEASURED, series=series, facts=facts),
        slo=SLO,
        verdict=Verdict(outcome=outcome, reason=reason),
    )
    assert codec.loads(codec.dumps(scenario), Scenario) == scenario


def test_the_text_is_one_line_of_ascii():
    text = codec.dumps(SCENARIO)
    assert text.isascii()
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused_where_it_arises(number):
    broken = replace(SCENARIO, measurement=replace(MEASURED, busy_s=number))
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.dumps(broken)


def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    scenario = replace(SCENARIO, measurement=replace(MEASURED, busy_s=numpy.float64(0.25)))
    assert codec.loads(codec.dumps(scenario), Scenario).measurement.busy_s == 0.25


def test_words_that_are_not_known_are_refused():
    text = codec.dumps(SCENARIO).replace('"scenario"', '"scenrio"', 1)
    with pytest.raises(Exception, match="structuring"):
        codec.loads(text, Scenario)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple))
def test_samples_come_back_bit_by_bit_in_less_text_than_their_digits(values):
    text = codec.dumps(replace(SCENARIO, measurement=replace(MEASURED, series={"latency_s": values})))
    back = codec.loads(text, Scenario).measurement.series["latency_s"]
    assert [value.hex() for value in back] == [value.hex() for value in values]
    assert len(codec.samples_as_text(values)) <= 4 * math.ceil(8 * len(values) / 3)
