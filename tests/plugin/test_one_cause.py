"""One cause is counted once, and a failure shows what a person needs to act."""

from __future__ import annotations

import pytest

#: Thirty iterations, of which every tenth ends by {how}.
SCENARIO = """
import itertools
count = itertools.count()

@llm_slo(p95_ms=150, warmup=0, iterations=30, max_iterations=30{limits})
def test_router(ask):
    bad = next(count) % 10 == 9
    {how}
"""

FAILED_REQUEST = "ask(failure='http_status' if bad else None)"
INVALID_JSON = "ask(json_valid=not bad)"
ASSERT = "ask(json_valid=True); assert not bad, 'wrong route'"


def broken(session) -> list[str]:
    """The metrics that broke."""
    return [one["metric"] for one in session.scenario()["checks"] if one["outcome"] == "failed"]


@pytest.mark.parametrize(
    ("how", "limits", "metric"),
    [
        (FAILED_REQUEST, "", "success_rate"),
        (FAILED_REQUEST, ", json_valid=1.0", "success_rate"),
        (INVALID_JSON, "", "pass_rate"),
        (INVALID_JSON, ", json_valid=1.0", "json_valid"),
        (ASSERT, "", "pass_rate"),
        (ASSERT, ", json_valid=1.0", "pass_rate"),
    ],
)
def test_every_cause_breaks_one_promise(project, how, limits, metric):
    if "json_valid" in limits and how is FAILED_REQUEST:
        how = how.replace("ask(", "ask(json_valid=None if bad else True, ")
    project.test(SCENARIO.format(how=how, limits=limits))
    session = project.run()
    assert session.exit == 1
    assert broken(session) == [metric]


@pytest.mark.parametrize(
    ("how", "limits"),
    [
        (FAILED_REQUEST, ", success_rate=0.8"),
        (INVALID_JSON, ", pass_rate=0.8"),
        (INVALID_JSON, ", json_valid=0.8"),
        (ASSERT, ", pass_rate=0.8"),
    ],
)
def test_a_limit_below_1_allows_some(project, how, limits):
    project.test(SCENARIO.format(how=how, limits=limits))
    session = project.run()
    assert broken(session) == []
    assert session.exit == 0


def test_a_failed_request_is_never_a_latency(project):
    project.test(SCENARIO.format(how="ask(0.0001, failure='connect') if bad else ask(0.1)", limits=""))
    session = project.run()
    assert session.n() == 27
    assert min(session.scenario()["series"]["latency_s"]) > 0.09
    assert session.scenario()["requests"]["failed"] == 3


def test_failed_requests_are_named_by_kind_with_an_example(project):
    project.test(SCENARIO.format(how=FAILED_REQUEST, limits=""))
    session = project.run()
    assert "test_router  3 of 30 requests failed (http_status): http_status here" in session.text
    assert "Traceback" not in session.text
    assert "pytest_llmperf/" not in session.text


def test_a_failing_assert_shows_the_first_failing_iteration_and_then_the_promise(project):
    project.test(SCENARIO.format(how=ASSERT, limits=""))
    session = project.run()
    session.result.stdout.fnmatch_lines(
        [
            "*def test_router(ask):",
            ">*assert not bad, 'wrong route'",
            "E*AssertionError: wrong route",
            "E*assert not True",
            "E*test_router  pass_rate 90 % < 100 % (27 of 30*",
            "test_project.py:*: AssertionError",
        ]
    )
    assert "pytest_llmperf/" not in session.text


def test_a_deep_traceback_is_whole_and_holds_none_of_ours(project):
    project.test(
        """
        def check(reply):
            raise ValueError("no route in " + reply)

        @llm_slo(p95_ms=150, warmup=0, iterations=5)
        def test_router(ask):
            ask()
            check("reply")
        """
    )
    session = project.run("--tb=long")
    session.result.stdout.fnmatch_lines(
        [">*check(*reply*)*", "*def check(reply):", "E*ValueError: no route*"]
    )
    assert "pytest_llmperf/" not in session.text


def test_a_broken_limit_has_no_traceback(project):
    project.test(SCENARIO.format(how="ask(0.2)", limits=""))
    session = project.run()
    assert "\ntest_router  p95 200 ms > 150 ms (n=30" in session.text
    assert "pytest_llmperf/" not in session.text
    assert "def test_router" not in session.text


def test_an_assert_and_a_slow_p95_are_two_causes(project):
    project.test(SCENARIO.format(how="ask(0.2); assert not bad", limits=""))
    session = project.run()
    assert broken(session) == ["latency", "pass_rate"]


def test_without_a_schema_or_json_nothing_is_promised_about_json(project):
    project.test(SCENARIO.format(how="ask()", limits=""))
    session = project.run()
    assert "json_valid" not in {check["metric"] for check in session.scenario()["checks"]}


def test_a_promise_about_what_was_never_measured_is_broken(project):
    project.test("@llm_slo(p95_ms=150, warmup=0, iterations=5)\ndef test_router():\n    pass\n")
    session = project.run()
    assert session.exit == 1
    assert "p95 was not measured: no request was made through a fixture of the plugin" in session.text


@pytest.mark.parametrize("limits", ["", ", success_rate=0.5"])
def test_a_server_that_is_gone_ends_the_measuring_in_bounded_time(project, limits):
    project.test(
        SCENARIO.replace("max_iterations=30", "max_iterations=480").format(
            how="ask(failure='connect' if next(count) > 20 else None)", limits=limits
        )
    )
    session = project.run()
    assert session.exit == 1
    scenario = session.scenario()
    assert scenario["requests"]["sent"] < 60
    assert "iterations in a row found no server" in scenario["stopped"]
    assert "iterations in a row found no server" in session.text
    assert broken(session) == ["success_rate"]


def test_when_every_request_failed_only_that_is_said(project):
    project.test(SCENARIO.format(how="ask(failure='http_status')", limits=", json_valid=0.9, ttft_p95_ms=50"))
    session = project.run()
    assert broken(session) == ["success_rate"]
    assert "success_rate 0 % < 100 % (0 of 30" in session.text


def test_catching_a_failed_request_does_not_hide_it(project):
    project.test(
        """
        @llm_slo(p95_ms=150, warmup=0, iterations=5)
        def test_router(ask):
            ask()
            try:
                ask(failure="cut")
            except Exception:
                pass
        """
    )
    session = project.run()
    assert session.exit == 1
    assert broken(session) == ["success_rate"]


WRAPPED = {
    "raised from": """
        try:
            {how}
        except Exception as error:
            raise ValueError("the assistant failed") from error
""",
    "raised while handling": """
        try:
            {how}
        except Exception:
            raise ValueError("the assistant failed")
""",
    "a group": """
        try:
            {how}
        except Exception as error:
            raise ExceptionGroup("tasks", [ExceptionGroup("more", [error])])
""",
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize(
    ("how", "limits", "metric"),
    [
        (FAILED_REQUEST, "", "success_rate"),
        (INVALID_JSON, ", json_valid=1.0", "json_valid"),
        (INVALID_JSON, "", "pass_rate"),
    ],
)
def test_a_cause_that_the_test_wraps_is_counted_once_too(project, name, how, limits, metric):
    body = WRAPPED[name].replace("\n    ", "\n").strip().format(how=how)
    project.test(SCENARIO.format(how=body, limits=limits))
    session = project.run()
    assert session.exit == 1
    assert broken(session) == [metric]


def test_tasks_that_all_fail_are_failed_requests(project):
    project.test(
        """
        import asyncio

        @llm_slo(p95_ms=150, warmup=0, iterations=5)
        async def test_two(ask):
            async def one():
                ask(failure="http_status")

            async with asyncio.TaskGroup() as group:
                group.create_task(one())
                group.create_task(one())
        """
    )
    session = project.run()
    assert broken(session) == ["success_rate"]
    assert session.scenario()["requests"]["failed"] == 10


def test_a_group_with_another_error_in_it_fails_the_iteration_too(project):
    body = 'raise ExceptionGroup("tasks", [ValueError("wrong"), ValueError("too")])'
    project.test(SCENARIO.format(how=body, limits=""))
    session = project.run()
    assert "pass_rate" in broken(session)


def test_a_failure_that_no_request_recorded_is_not_swallowed(project):
    project.test(
        """
        from pytest_llmperf.client.reply import RequestFailed
        from pytest_llmperf.core.exchange import Failure, FailureKind

        @llm_slo(p95_ms=150, warmup=0, iterations=5)
        def test_router(ask):
            ask()
            raise RequestFailed(Failure(kind=FailureKind.CUT, message="of another test"), None)
        """
    )
    session = project.run()
    assert session.exit == 1
    assert broken(session) == ["pass_rate"]
