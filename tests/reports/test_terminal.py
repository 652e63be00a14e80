from __future__ import annotations

import dataclasses
import re

import pytest

from pytest_llmperf.core.health import Health
from pytest_llmperf.core.load_report import LoadReport
from pytest_llmperf.core.measurement import FailureCount
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.plain import UNSAFE
from pytest_llmperf.core.run import drift
from pytest_llmperf.reports.terminal import MARKUP, render
from pytest_llmperf.reports.width import columns


def text(lines) -> list[str]:
    return ["".join(piece for piece, _ in line) for line in lines]


def table(run, *, width=80) -> list[str]:
    lines = text(render(run, width=width, verbosity=0))
    start = heading(lines)
    return lines[start : lines.index("", start)]


def heading(lines) -> int:
    """Where the table begins: the worst offenders stand above it."""
    return next(index for index, line in enumerate(lines) if line.startswith("scenario"))


def row(run, name, *, width=80) -> dict[str, str]:
    titles, *rows = table(run, width=width)
    line = next(each for each in rows if each.startswith(name))
    titles = titles.replace("TTFT p95", "TTFT").replace("scenario (", "scenario(").split()
    return dict(zip(titles, re.split(r"\s+", line, maxsplit=len(titles) - 1), strict=True))


def below(run, *, verbosity=0) -> list[str]:
    lines = text(render(run, width=80, verbosity=verbosity))
    return lines[lines.index("", heading(lines)) + 1 :]


def said(run) -> list[str]:
    """Everything but the table, as it is read from top to bottom."""
    lines = text(render(run, width=80, verbosity=0))
    return [*lines[: heading(lines)], *below(run)]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
def test_no_row_of_the_table_is_wider_than_the_terminal(runs, width):
    assert max(columns(line) for line in table(runs.everything(), width=width)) <= width


def test_every_row_of_the_table_is_as_long_as_the_others(runs):
    lines = render(runs.everything(), width=80, verbosity=0)
    start = heading(text(lines)) + 1
    rows = lines[start : start + 11]
    assert len({columns(line[0][0]) for line in rows}) == 1


def test_at_eighty_columns_a_row_has_every_number(runs):
    assert row(runs.of("passed"), "test_chat") == {
        "scenario(ms)": "test_chat",
        "n": "200",
        "p50": "109",
        "p95": "126",
        "p99": "131",
        "TTFT": "62.9",
        "tok/s": "384",
        "JSON": "100%",
        "ok": "100%",
        "base": "x0.99",
        "verdict": "passed",
    }


def test_with_room_the_headings_are_spelled_out(runs):
    assert "TTFT p95  tokens/s  JSON  success  baseline  verdict" in table(runs.of("passed"), width=120)[0]


def test_where_space_is_short_the_least_important_column_goes_first(runs):
    heading = table(runs.of("passed", "hostile"), width=66)[0]
    assert "p99" not in heading
    assert "p95" in heading


def test_p95_and_the_verdict_stay_however_narrow_the_terminal(runs):
    assert table(runs.of("passed"), width=30)[0].split() == ["scenario", "(ms)", "p95", "verdict"]


def test_a_long_name_is_shortened_in_its_middle(runs):
    run = runs.run_of(runs.scenario("passed", "test_answers_about_the_calendar[istanbul-evening-3]"))
    assert table(run)[1].startswith("test_answers_a…bul-evening-3] ")


def test_a_number_that_does_not_exist_is_a_dash(runs):
    assert row(runs.of("unreachable", "passed"), "test_broken")["p95"] == "-"


def test_a_column_that_no_scenario_fills_is_left_out(runs):
    assert "JSON" not in table(runs.of("unreachable"))[0]


def test_the_cost_appears_once_something_is_priced(runs):
    assert row(runs.of("priced"), "test_priced")["cost"] == "$0.000012"


def test_the_cost_is_absent_where_nothing_is_priced(runs):
    assert "cost" not in table(runs.of("passed"), width=200)[0]


def test_times_of_seconds_are_shown_in_seconds(runs):
    slow = runs.judged(runs.measured("test_slow", median_s=12.0, series={"ttft_s": (2.0,) * 40}))
    assert row(runs.run_of(slow), "test_slow")["p50"] == "11.5"


def test_one_failure_in_many_is_not_shown_as_all(runs):
    count = runs.measured().proportions["json_valid"]
    proportions = {"success_rate": dataclasses.replace(count, successes=9999, trials=10000)}
    scenario = runs.judged(runs.measured(proportions=proportions))
    assert row(runs.run_of(scenario), "test_router")["success"] == "99.99%"


@pytest.mark.parametrize(
    ("kind", "colour"),
    [
        ("passed", "green"),
        ("no_baseline", "yellow"),
        ("not_comparable", "yellow"),
        ("regressed", "red"),
        ("failed", "red"),
    ],
)
def test_a_verdict_has_the_colour_of_its_class(runs, kind, colour):
    lines = render(runs.of(kind), width=80, verbosity=0)
    line = lines[heading(text(lines)) + 1]
    assert line[1][1].get(colour)


def test_every_outcome_has_a_markup():
    assert set(MARKUP) == set(Outcome)


def test_a_broken_scenario_has_its_sentence(runs):
    assert said(runs.of("failed"))[0] == f"test_router  {runs.scenario('failed').verdict.reason}"


def test_the_worst_verdict_is_told_first(runs):
    lines = [line.split("  ")[0] for line in said(runs.of("no_baseline", "regressed", "failed"))]
    assert list(dict.fromkeys(filter(None, lines)))[:3] == ["test_router", "test_summary", "test_new"]


def test_scenarios_with_the_same_reason_share_a_sentence(runs):
    run = runs.run_of(*(runs.scenario("no_baseline", f"test_{index}") for index in range(5)))
    reason = run.scenarios[0].verdict.reason
    assert below(run)[0] == f"test_0, test_1, test_2 and 2 more  {reason}"


def doubtful(runs, count):
    scenario = runs.scenario("not_comparable")
    return [
        dataclasses.replace(
            scenario,
            measurement=dataclasses.replace(scenario.measurement, name=f"test_{index}"),
            verdict=dataclasses.replace(scenario.verdict, reason=f"reason {index}"),
        )
        for index in range(count)
    ]


def test_of_many_doubtful_scenarios_the_first_ten_are_told(runs):
    lines = below(runs.run_of(*doubtful(runs, 25)))
    assert lines[9:11] == ["test_9  reason 9", "doubtful in other ways: 15 more (-v shows them)"]


def test_verbose_tells_every_doubtful_scenario(runs):
    assert "test_24  reason 24" in below(runs.run_of(*doubtful(runs, 25)), verbosity=1)


def test_verbose_tells_the_checks_that_hold(runs):
    check = runs.scenario("passed").verdict.checks[0]
    assert f"test_chat  {check.reason}" in below(runs.of("passed"), verbosity=1)


def test_failed_requests_are_counted_by_kind_with_an_example(runs):
    assert (
        "28 of 30 requests failed: connect in test_broken, e.g. connection refused (127.0.0.1:8000)"
        in below(runs.of("unreachable"))
    )


def test_kinds_of_failure_are_summed_over_scenarios(runs):
    run = runs.run_of(runs.scenario("unreachable", "test_a"), runs.scenario("unreachable", "test_b"))
    assert "56 of 60 requests failed: connect in test_a, test_b" in "\n".join(below(run))


def test_a_long_error_message_is_cut(runs):
    failure = FailureCount(kind="http_status", count=1, example="x" * 100_000)
    run = runs.run_of(runs.judged(runs.measured(sent=41, failed=1, failures=(failure,))))
    assert max(map(len, below(run))) < 500


def test_who_counted_the_tokens_is_said(runs):
    assert "tokens counted by: server" in below(runs.of("passed"))


def test_labels_of_a_check_are_listed_worst_first(runs):
    assert "frontdoor  route 95 % (38 of 40): finance 80 % (8 of 10), sağlık 100 % (30 of 30)" in below(
        runs.of("pooled")
    )


def test_a_warning_names_its_scenario(runs):
    assert "warning: the client fell behind by 12 ms (frontdoor)" in below(runs.of("pooled"))


def test_what_the_reason_says_is_not_warned_of_again(runs):
    late = LoadReport(profile="4 users", health=Health(lag_p95_s=0.025))
    lines = said(runs.run_of(runs.judged(runs.measured(load=late))))
    assert sum("the generator was 25 ms late at p95" in line for line in lines) == 1


def test_a_model_that_is_called_as_its_backend_is_named_once(runs):
    mock = runs.judged(runs.measured(backend="mock", model="mock"))
    assert "measured: mock; 40 requests" in below(runs.run_of(mock))


def test_warnings_that_differ_in_percentages_are_one_line_with_their_range(runs):
    uneven = "the machine was uneven: runs may differ by {} %, only +{} % shows"
    router = runs.judged(runs.measured(warnings=(uneven.format(16, 231), uneven.format(15, 220.5))))
    chat = runs.judged(runs.measured("test_chat", warnings=(uneven.format(6, 231),)))
    lines = [line for line in below(runs.run_of(router, chat)) if "uneven" in line]
    told = "warning: the machine was uneven: runs may differ by 6 to 16 %, only +220.5 to +231 % shows"
    assert lines == [f"{told} (test_router, test_chat)"]


def test_warnings_that_differ_in_other_numbers_stay_apart(runs):
    router = runs.judged(runs.measured(warnings=("vLLM 0.6.1 became 0.6.2", "vLLM 0.6.1 became 0.6.3")))
    assert sum("became" in line for line in below(runs.run_of(router))) == 2


def test_scenarios_that_became_slower_together_are_told_of_once(runs):
    slower = [runs.scenario("regressed")] * 5
    told = below(runs.run_of(*slower, warnings=(drift(slower),)))
    assert sum("became slower together" in line for line in told) == 1


def test_a_warning_of_the_session_is_told(runs):
    assert "warning: the clock stepped back" in below(runs.of("passed", warnings=("the clock stepped back",)))


def test_what_was_saved_is_said(runs):
    assert "saved 7 scenarios to .llmperf/baselines" in below(runs.everything())


def test_a_problem_is_the_last_line(runs):
    assert below(runs.everything())[-1] == "problem: worker gw1 crashed: 2 scenarios are missing"


def test_a_run_without_scenarios_still_tells_its_problems(runs):
    lines = text(render(runs.of(problems=("worker gw0 crashed",)), width=80, verbosity=0))
    assert lines == ["no scenario was measured", "problem: worker gw0 crashed"]


def test_quiet_is_one_line(runs):
    assert text(render(runs.everything(), width=80, verbosity=-1)) == [
        (
            "llm performance: 3 failed, 1 regressed, 1 not comparable, 4 no baseline, 2 passed; "
            "problem: worker gw1 crashed: 2 scenarios are missing"
        )
    ]


def test_quiet_tells_the_worst_verdict(runs):
    assert text(render(runs.of("passed", "failed"), width=80, verbosity=-1))[0].startswith(
        "llm performance: 1 failed, 1 passed; test_router  p95 216 ms > 150 ms"
    )


@pytest.mark.parametrize("verbosity", [-1, 0, 1])
def test_nothing_untrusted_reaches_the_terminal_raw(runs, verbosity):
    hostile = "\x1b]0;owned\x07\u202e"
    run = runs.of(
        "hostile",
        "unreachable",
        problems=(hostile,),
        saved=(hostile,),
        warnings=(hostile,),
        environment={"x": hostile},
    )
    assert not UNSAFE.search("".join(text(render(run, width=80, verbosity=verbosity))))


def test_equal_names_are_told_apart_by_their_ids(runs):
    one, two = runs.scenario("passed"), runs.scenario("passed")
    other = dataclasses.replace(
        two, measurement=dataclasses.replace(two.measurement, scenario="tests/test_b.py::test_chat")
    )
    assert [line.split()[0] for line in table(runs.run_of(one, other), width=160)[1:]] == [
        "tests/test_test_chat.py::test_chat",
        "tests/test_b.py::test_chat",
    ]


def test_one_scenario_on_two_models_is_told_apart_by_the_model(runs):
    one = runs.scenario("passed")
    other = dataclasses.replace(one, measurement=dataclasses.replace(one.measurement, model="gemma"))
    assert "(vllm gemma)" in table(runs.run_of(one, other), width=160)[2]


def test_the_baseline_column_shows_the_comparison_that_came_out_worst(runs):
    measured = runs.measured("test_ttft", n=200)
    slow_start = tuple(1.5 * value for value in measured.series["ttft_s"])
    series = {**measured.series, "ttft_s": slow_start}
    scenario = runs.judged(
        dataclasses.replace(measured, series=series), runs.slo(p95_ms=900), runs.stored(n=1000, runs=5)
    )
    assert row(runs.run_of(scenario), "test_ttft", width=120)["baseline"] == "x1.50"


def plain_lines(run):
    return text(render(run, width=120, verbosity=0))


def test_the_three_worst_offenders_come_before_the_table(runs):
    scenarios = [
        runs.judged(runs.measured(f"test_{ms}", median_s=ms / 1000), runs.slo(p95_ms=100))
        for ms in (150, 900, 200, 300)
    ]
    lines = plain_lines(runs.run_of(*scenarios))
    assert [line.partition(" ")[0] for line in lines[:4]] == ["test_900", "test_300", "test_200", ""]
    assert lines[4].startswith("scenario")
    assert any(line.startswith("test_150  p95") for line in lines[9:])


def test_every_broken_gate_has_a_sentence_of_its_own(runs):
    lines = plain_lines(runs.of("regressed"))
    assert lines[0].startswith("test_summary  p95 229 ms")
    assert lines[1].startswith("test_summary  ttft p95 114 ms")


def test_nothing_stands_above_the_table_where_nothing_broke(runs):
    assert plain_lines(runs.of("passed", "no_baseline"))[0].startswith("scenario")
