"""The words and lines of a verdict, and what they do to the exit status."""

from __future__ import annotations

import json

import pytest

#: Thirty latencies around {median} seconds.
SCENARIO = """
@llm_slo({limits}warmup=0, iterations={iterations}, max_iterations={most})
def test_router(ask, noisy):
    ask(noisy({median}))
"""


def write(project, median=0.1, *, limits="", iterations=30, most=30):
    project.test(SCENARIO.format(median=median, limits=limits, iterations=iterations, most=most))


@pytest.fixture
def saved(project):
    """A project with a baseline around 100 ms."""
    write(project)
    session = project.run("--save-baseline")
    assert session.exit == 0
    assert session.n() == 200
    return project


def test_a_regression_names_the_scenario_p95_baseline_ratio_and_n(saved):
    write(saved, 0.15)
    session = saved.run()
    assert session.exit == 1
    session.result.stdout.re_match_lines(
        [
            (
                r"test_router  p95 1\d\d ms \(n=30\), baseline 1\d\d ms \(20\d\d-\d\d-\d\d, n=200\), "
                r"x1\.\d\d, limit x1\.10: proven"
            )
        ]
    )
    assert session.scenario()["outcome"] == "regressed"


def test_a_limit_and_a_regression_of_one_value_are_one_line(saved):
    write(saved, 0.15, limits="p95_ms=130, ")
    session = saved.run()
    session.result.stdout.re_match_lines(
        [
            (
                r"test_router  p95 1\d\d ms > 130 ms \(n=30, 95 % interval .*\) · "
                r"baseline 1\d\d ms .*x1\.\d\d, limit x1\.10: proven"
            )
        ]
    )
    assert session.scenario()["outcome"] == "failed"


def test_unchanged_code_passes(saved):
    session = saved.run("--llm-max-iterations=480")
    assert session.exit == 0
    assert session.scenario()["outcome"] == "passed"


def test_a_faster_server_is_an_improvement(saved):
    write(saved, 0.05)
    session = saved.run()
    assert session.exit == 0
    assert session.scenario()["outcome"] == "improved"


def test_without_a_baseline_it_says_so_and_passes(project):
    write(project)
    session = project.run()
    assert session.exit == 0
    assert session.scenario()["outcome"] == "no_baseline"
    assert "no baseline stored yet: pytest --save-baseline stores one" in session.text


REGRESSED = 0.15


@pytest.mark.parametrize(("mode", "exit_status"), [("fail", 1), ("plain", 1), ("warn", 0), ("off", 0)])
def test_the_gate_s_mode_decides_whether_a_regression_fails(saved, mode, exit_status):
    write(saved, REGRESSED)
    session = saved.run(f"--llm-gate={mode}")
    assert session.exit == exit_status
    assert session.scenario()["outcome"] == ("skipped" if mode == "off" else "regressed")


@pytest.mark.parametrize(("mode", "exit_status"), [("fail", 1), ("plain", 1), ("warn", 0), ("off", 0)])
def test_the_gate_s_mode_decides_whether_a_broken_limit_fails(project, mode, exit_status):
    write(project, 0.2, limits="p95_ms=150, ")
    session = project.run(f"--llm-gate={mode}")
    assert session.exit == exit_status
    assert session.scenario()["outcome"] == ("skipped" if mode == "off" else "failed")


def test_the_gate_off_needs_the_first_look_only(saved):
    session = saved.run("--llm-gate=off", "--llm-max-iterations=480")
    assert session.n() == 30
    assert session.scenario()["reason"] == "the gate is off"


def test_the_plain_gate_fails_on_the_point_estimate(saved):
    write(saved, 0.115, iterations=30)
    assert saved.run().exit == 0
    assert saved.run("--llm-gate=plain").exit == 1


#: What makes each of the words that --llm-strict takes.
def make(project, word):
    if word == "no_baseline":
        write(project)
        return
    write(project)
    project.run("--save-baseline")
    if word == "not_comparable":
        project.test(
            SCENARIO.format(median=0.1, limits="", iterations=30, most=30).replace("))", "), streamed=False)")
        )
    elif word == "unproven":
        write(project, 0.115)
    else:
        write(project, iterations=5, most=5)


WORDS = ("unproven", "inconclusive", "not_comparable", "no_baseline")


@pytest.mark.parametrize("word", WORDS)
def test_strict_makes_a_doubt_fail(project, word):
    make(project, word)
    session = project.run()
    assert (session.exit, session.scenario()["outcome"]) == (0, word)
    session = project.run(f"--llm-strict={word}")
    assert (session.exit, session.outcomes()) == (1, {"failed": 1})
    others = ",".join(other for other in WORDS if other != word)
    assert project.run(f"--llm-strict={others}").exit == 0
    session = project.run("--llm-strict=all")
    assert session.exit == 1
    reason = session.scenario()["reason"]
    assert f"test_router  {reason}" in session.text


def test_strict_may_stand_in_the_ini_file(project):
    project.write("pytest.ini", "[pytest]\nllm_strict = no_baseline\n")
    write(project)
    assert project.run().exit == 1


def test_quick_takes_three_iterations_and_judges_asserts_only(project):
    write(project, 0.9, limits="p95_ms=150, ")
    session = project.run("--llm-quick")
    assert session.exit == 0
    assert session.n() == 3
    assert session.scenario()["outcome"] == "skipped"


@pytest.mark.parametrize("statement", ["assert False, 'wrong'", "ask(failure='cut')"])
@pytest.mark.parametrize("pooled", ["", "scenario='router', "])
def test_quick_fails_on_asserts_and_failed_requests(project, statement, pooled):
    project.test(f"@llm_slo({pooled}p95_ms=150)\ndef test_router(ask):\n    ask()\n    {statement}\n")
    session = project.run("--llm-quick")
    assert session.exit == 1
    assert session.scenario()["outcome"] == "failed"


def test_max_regression_of_the_mark_is_the_limit(saved):
    write(saved, REGRESSED, limits="max_regression='80%', ")
    session = saved.run()
    assert session.exit == 0
    check = next(one for one in session.scenario()["checks"] if one["kind"] == "regression")
    assert check["limit"] == pytest.approx(1.8)


def test_an_accepted_regression_passes_until_its_day(saved):
    write(saved, REGRESSED)
    accept = 'version: 1\naccept: {{"*::test_router": {{max_regression: 80%, until: {}, reason: "#241"}}}}\n'
    saved.write("slo.yaml", accept.format("2999-01-31"))
    assert saved.run().exit == 0
    saved.write("slo.yaml", accept.format("2024-01-31"))
    session = saved.run()
    assert session.exit != 0
    assert "2024-01-31 is past" in session.text


def test_the_environment_and_the_command_line_are_heard(saved, monkeypatch):
    write(saved, REGRESSED)
    monkeypatch.setenv("LLMPERF_GATE", "warn")
    assert saved.run().exit == 0
    assert saved.run("--llm-gate=fail").exit == 1


def test_a_limit_of_the_selected_backend_wins(project):
    project.write(
        "slo.yaml",
        """
        version: 1
        backends: {mock: {slo: {"*::test_router": {p95_ms: 300}}}}
        """,
    )
    write(project, 0.2, limits="p95_ms=150, ")
    session = project.run()
    assert session.exit == 0
    assert session.scenario()["slo"]["limits"][0]["bound"] == pytest.approx(0.3)


def test_layers_of_slo_yaml_and_marks_are_merged(project):
    project.write(
        "slo.yaml",
        """
        version: 1
        defaults: {p99_ms: 900, p95_ms: 800, p50_ms: 700, iterations: 4, warmup: 1}
        roles: {router: {slo: {p95_ms: 500, p50_ms: 400}}}
        scenarios: {"test_project.py::*": {role: router, p50_ms: 300}}
        """,
    )
    project.test("@llm_slo(p50_ms=250)\ndef test_router(ask):\n    ask()\n")
    slo = project.run().scenario()["slo"]
    limits = {limit["statistic"]: limit["bound"] for limit in slo["limits"]}
    assert limits == pytest.approx({"p99": 0.9, "p95": 0.5, "p50": 0.25})
    assert slo["role"] == "router"


def test_nothing_of_a_verdict_is_lost_in_the_report(saved):
    write(saved, REGRESSED, limits="p95_ms=130, ")
    session = saved.run()
    scenario = session.scenario()
    assert session.report["schema"] == "pytest-llmperf/run/1"
    assert session.report["outcome"] == "failed"
    kinds = {(check["metric"], check["statistic"], check["kind"]) for check in scenario["checks"]}
    assert {("latency", "p95", "limit"), ("latency", "p95", "regression")} <= kinds
    regression = next(one for one in scenario["checks"] if one["kind"] == "regression")
    assert regression["ratio"] == pytest.approx(regression["observed"] / regression["baseline"])
    assert json.dumps(session.report, allow_nan=False)
