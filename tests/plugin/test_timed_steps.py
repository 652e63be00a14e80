"""Steps of anything, timed with llm_timer, judged like requests to a model."""

from __future__ import annotations

import pytest

import pytest_llmperf.timer  # noqa: F401 - before pytester forgets what a run imports


def test_a_test_that_asks_no_model_is_judged_by_its_steps(project):
    project.test(
        """
        @llm_slo(p95_ms=5000, requests_per_s=1, iterations=30, max_iterations=30, gate=[])
        def test_shell(llm_timer):
            with llm_timer("page"):
                pass
            with llm_timer("bundle"):
                pass
        """
    )
    session = project.run()
    assert session.exit == 0
    scenario = session.scenario()
    assert scenario["requests"] == {"sent": 60, "failed": 0, "failures": []}
    assert len(scenario["series"]["step:page_s"]) == 30
    assert len(scenario["series"]["latency_s"]) == 60
    assert scenario["timed"] is True
    assert scenario["steps"] == ["page", "bundle"]
    assert "steps: page p50" in session.line("test_shell  steps:")


def test_a_slow_step_fails_its_own_limit(project):
    project.test(
        """
        import time

        @llm_slo(
            steps={"job": {"p95_ms": 1}, "submit": {"p95_s": 5}}, iterations=8, max_iterations=8, gate=[]
        )
        async def test_jobs(llm_timer):
            async with llm_timer("submit"):
                pass
            async with llm_timer("job"):
                time.sleep(0.003)
        """
    )
    session = project.run()
    assert session.exit == 1
    assert "step:job p95 " in session.scenario()["reason"]
    assert "step:submit" not in session.scenario()["reason"]


FAILING = """
import itertools

turns = itertools.count()

@llm_slo({limits}, iterations=20, max_iterations=20, warmup=0, gate=[])
def test_jobs(llm_timer):
    with llm_timer("poll"):
        assert next(turns) % 10 != 3, "the job failed"
"""


def test_a_step_that_raises_is_counted_once_and_its_traceback_is_shown(project):
    project.test(FAILING.format(limits="p95_ms=5000"))
    session = project.run()
    assert session.outcomes() == {"failed": 1}
    scenario = session.scenario()
    broken = {check["metric"] for check in scenario["checks"] if check["outcome"] == "failed"}
    assert broken == {"success_rate"}
    assert scenario["proportions"]["pass_rate"] == {"successes": 18, "trials": 18}
    assert session.line("next(turns) % 10 != 3").startswith(">")
    assert "2 of 20 requests failed (step): poll: AssertionError: the job failed" in session.text


def test_failing_steps_may_be_tolerated(project):
    project.test(FAILING.format(limits="success_rate=0.5"))
    session = project.run()
    assert session.exit == 0
    assert session.scenario()["requests"]["failed"] == 2


def test_an_error_that_was_wrapped_on_its_way_is_still_the_step_s(project):
    project.test(
        """
        @llm_slo(success_rate=0.1, iterations=4, max_iterations=4, warmup=0, gate=[])
        async def test_jobs(llm_timer, n=[]):
            import asyncio
            n.append(1)
            async def job():
                async with llm_timer("job"):
                    if len(n) == 2:
                        raise OSError("refused")
            async with asyncio.TaskGroup() as group:
                group.create_task(job())
            async with asyncio.timeout(0.01 if len(n) == 3 else 10):
                async with llm_timer("wait"):
                    await asyncio.sleep(0.1 if len(n) == 3 else 0)
        """
    )
    scenario = project.run().scenario()
    assert scenario["outcome"] == "passed", scenario["reason"]
    assert scenario["requests"]["failed"] == 2
    assert scenario["proportions"]["pass_rate"] == {"successes": 2, "trials": 2}


def test_of_several_errors_all_have_to_be_of_steps(project):
    project.test(
        """
        @llm_slo(success_rate=0.0, iterations=1, max_iterations=1, warmup=0, gate=[])
        def test_jobs(llm_timer):
            errors = [AssertionError("wrong answer")]
            try:
                with llm_timer("job"):
                    raise OSError("refused")
            except OSError as error:
                errors.append(error)
            raise ExceptionGroup("both", errors)
        """
    )
    assert project.run().scenario()["proportions"]["pass_rate"] == {"successes": 0, "trials": 1}


def test_an_assertion_outside_a_step_counts_against_the_iteration(project):
    project.test(
        """
        @llm_slo(p95_ms=5000, iterations=4, max_iterations=4, warmup=0, gate=[])
        def test_jobs(llm_timer):
            with llm_timer("job"):
                pass
            assert False, "wrong answer"
        """
    )
    scenario = project.run().scenario()
    assert {check["metric"] for check in scenario["checks"] if check["outcome"] == "failed"} == {"pass_rate"}
    assert scenario["requests"]["failed"] == 0


def test_a_failed_request_inside_a_step_is_counted_as_a_request_only(project):
    project.test(
        """
        @llm_slo(success_rate=0.1, iterations=10, max_iterations=10, warmup=0, gate=[])
        def test_chat(llm_timer, ask, n=[]):
            n.append(1)
            with llm_timer("answer"):
                ask(failure="timeout_total" if len(n) == 5 else None)
        """
    )
    scenario = project.run().scenario()
    assert scenario["outcome"] == "passed", scenario["reason"]
    assert scenario["requests"]["failed"] == 1
    assert scenario["proportions"]["step:answer"] == {"successes": 9, "trials": 10}
    assert scenario["excused"] == {"step:answer": 1}


def test_beside_a_model_a_failing_step_breaks_its_own_rate_and_shows_where(project):
    project.test(
        """
        @llm_slo(p95_ms=5000, iterations=4, max_iterations=4, warmup=0, gate=[])
        def test_chat(llm_timer, ask):
            ask()
            with llm_timer("retrieve"):
                raise LookupError("no such index")
        """
    )
    session = project.run()
    assert session.exit == 1
    failed = [check for check in session.scenario()["checks"] if check["outcome"] == "failed"]
    assert [(check["metric"], check["statistic"]) for check in failed] == [("step:retrieve", "success_rate")]
    assert 'raise LookupError("no such index")' in session.text


def test_skipping_inside_a_step_ends_the_item(project):
    project.test(
        """
        @llm_slo(p95_ms=5000)
        def test_jobs(llm_timer):
            with llm_timer("job"):
                pytest.skip("no service here")
        """
    )
    session = project.run()
    assert session.outcomes() == {"skipped": 1}
    assert session.scenario()["requests"]["failed"] == 0


@pytest.mark.parametrize("fails", ["pytest.fail('no')", "assert 0"])
def test_pytest_fail_inside_a_step_is_its_failure(project, fails):
    project.test(
        f"""
        @llm_slo(success_rate=0.0, iterations=2, max_iterations=2, warmup=0, gate=[])
        def test_jobs(llm_timer):
            with llm_timer("job"):
                {fails}
        """
    )
    assert project.run().scenario()["requests"]["failed"] == 2


def test_a_step_regresses_against_its_baseline(project):
    body = """
        @llm_slo(iterations=60, max_iterations=60, warmup=0, gate=["p95_ms"])
        def test_jobs(request, noisy):
            from pytest_llmperf.core.iteration import TimedStep
            from pytest_llmperf.items import log_of
            for name, median_s in ({steps}):
                took_s = noisy(median_s)
                step = TimedStep(name=name, due_s=0.0, started_s=0.0, done_s=took_s)
                log_of(request.node).here().step(step, None)
        """
    project.test(body.format(steps="('submit', 0.01), ('job', 0.5)"))
    assert project.run("--save-baseline").exit == 0
    assert project.run("--llm-append-baseline").exit == 0
    project.test(body.format(steps="('submit', 0.01), ('job', 1.0)"))
    session = project.run()
    assert session.exit == 1
    outcomes = {check["metric"]: check["outcome"] for check in session.scenario()["checks"]}
    assert outcomes["step:job"] == "regressed"
    assert outcomes["step:submit"] != "regressed"


def test_in_an_ordinary_test_a_timer_only_times(project):
    project.test(
        """
        def test_plain(llm_timer):
            with llm_timer("anything") as step:
                pass
            assert step.elapsed_ms > 0
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 1}
    assert session.report is None


def test_limits_of_steps_stand_in_slo_yaml_too(project):
    project.write(
        "slo.yaml",
        "version: 1\nscenarios:\n  '*::test_jobs':\n    steps: {job: {p95_ms: 0.000001}}\n    gate: []\n",
    )
    project.test(
        """
        @llm_slo(iterations=8, max_iterations=8)
        def test_jobs(llm_timer):
            with llm_timer("job"):
                pass
        """
    )
    session = project.run()
    assert session.exit == 1
    assert "step:job p95" in session.scenario()["reason"]


def test_a_wrong_limit_of_a_step_is_an_error_with_its_line(project):
    project.write("slo.yaml", "version: 1\nscenarios:\n  '*':\n    steps:\n      job: {p95: 20}\n")
    project.test("@llm_slo()\ndef test_jobs(llm_timer):\n    pass\n")
    session = project.run()
    assert session.exit != 0
    assert "slo.yaml:5" in session.text
    assert 'Did you mean "p95_ms"?' in session.text
