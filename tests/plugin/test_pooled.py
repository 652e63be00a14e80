"""Items of one name are one scenario, judged at the end of the session."""

from __future__ import annotations

import pytest

#: Each of four parameters is a quarter of the scenario.
PARAMETERS = """
@pytest.mark.parametrize("latency_s", {latencies})
@llm_slo(p95_ms=150, scenario="router", warmup=0, iterations=10)
def test_router(ask, latency_s):
    ask(latency_s)
"""


def test_parameters_are_one_scenario(project):
    project.test(PARAMETERS.format(latencies=[0.1, 0.101, 0.102, 0.103]))
    session = project.run()
    assert session.outcomes() == {"passed": 4}
    assert session.exit == 0
    assert session.n("router") == 40
    assert session.scenario()["id"] == "router"
    assert session.scenario()["outcome"] == "no_baseline"


def test_a_broken_limit_of_all_items_together_fails_the_session(project):
    project.test(PARAMETERS.format(latencies=[0.1, 0.1, 0.1, 0.2]))
    session = project.run()
    assert session.outcomes() == {"passed": 4}
    assert session.exit == 1
    assert session.scenario()["outcome"] == "failed"
    assert "router  p95 200 ms > 150 ms (n=40" in session.text


def test_files_are_one_scenario(project):
    for name in ("a", "b"):
        project.test(PARAMETERS.format(latencies=[0.1]), f"test_{name}.py")
    assert project.run().n("router") == 20


def test_workers_are_one_scenario(project):
    project.test(PARAMETERS.format(latencies=[0.1, 0.1, 0.1, 0.2]))
    session = project.run_apart("-n2", plugins=("llmperf", "xdist"))
    assert session.exit == 1
    assert session.n("router") == 40
    assert session.scenario()["outcome"] == "failed"


def test_a_pooled_scenario_has_one_baseline(project):
    project.test(PARAMETERS.format(latencies=[0.1, 0.101, 0.102, 0.103]))
    assert project.run("--save-baseline", "--llm-iterations=60").exit == 0
    assert len(list(project.path.glob(".llmperf/baselines/*/*/*.json"))) == 1
    assert project.run("--llm-iterations=60").scenario()["outcome"] == "passed"
    slower = PARAMETERS.format(latencies=[0.1, 0.101, 0.102, 0.103]).replace("ask(latency_s)", "ask(0.15)")
    project.test(slower.replace("p95_ms=150", "p95_ms=900"))
    session = project.run("--llm-iterations=60")
    assert session.exit == 1
    assert session.scenario()["outcome"] == "regressed"


def test_a_part_of_the_items_is_not_compared_with_all(project):
    project.test(PARAMETERS.format(latencies=[0.1, 0.101, 0.102, 0.103]))
    assert project.run("--save-baseline", "--llm-iterations=60").exit == 0
    part = project.run("--llm-iterations=60", "-k", "0.101 or 0.102")
    assert part.scenario()["outcome"] == "not_comparable"
    assert "items: 4 (" in part.text


def test_a_part_of_the_items_saved_leaves_the_baseline_of_all(project):
    project.test(PARAMETERS.format(latencies=[0.1, 0.101, 0.102, 0.103]))
    assert project.run("--save-baseline", "--llm-iterations=60").exit == 0
    assert project.run("--save-baseline", "--llm-iterations=60", "-k", "0.101").exit == 0
    assert project.run("--llm-iterations=60").scenario()["outcome"] == "passed"


def test_a_failing_iteration_of_one_item_counts_for_all(project):
    project.test(PARAMETERS.format(latencies=[0.1, 0.11]) + "    assert latency_s == 0.1, 'wrong route'\n")
    session = project.run()
    assert session.exit == 1
    assert session.scenario()["proportions"]["pass_rate"] == {"successes": 10, "trials": 20}
    assert "first failing iteration: AssertionError: wrong route" in session.text


def test_an_item_that_is_skipped_inside_is_not_judged(project):
    body = "    if latency_s == 0.2:\n        pytest.skip('no GPU')\n"
    project.test(PARAMETERS.format(latencies=[0.1, 0.2]) + body)
    session = project.run()
    assert session.outcomes() == {"passed": 1, "skipped": 1}
    assert session.exit == 0
    assert session.n("router") == 10
    assert session.scenario()["outcome"] == "no_baseline"


def test_a_scenario_of_which_every_item_is_skipped_is_not_judged(project):
    project.test(PARAMETERS.format(latencies=[0.2, 0.3]) + "    pytest.skip('no GPU')\n")
    session = project.run()
    assert session.outcomes() == {"skipped": 2}
    assert session.exit == 0
    assert session.scenario()["outcome"] == "skipped"


def test_an_item_that_may_fail_is_not_judged(project):
    project.test(
        """
        slow = pytest.param(0.2, marks=pytest.mark.xfail(reason="slow"))

        @pytest.mark.parametrize("latency_s", [0.1, slow])
        @llm_slo(p95_ms=150, scenario="router", warmup=0, iterations=10)
        def test_router(ask, latency_s):
            ask(latency_s)
        """
    )
    session = project.run()
    assert session.exit == 0
    assert session.n("router") == 10


def test_items_that_promise_different_things_fail_the_session(project):
    project.test(
        """
        @llm_slo(p95_ms=150, scenario="router", warmup=0, iterations=10)
        def test_a(ask):
            ask(0.2)

        @llm_slo(p95_ms=300, scenario="router", warmup=0, iterations=10)
        def test_b(ask):
            ask(0.2)
        """
    )
    session = project.run()
    assert session.exit == 1
    assert "router  its items promise different things" in session.text


def test_an_item_that_broke_off_fails_the_scenario(project):
    project.test(
        PARAMETERS.format(latencies=[0.1, 0.2]) + "    if latency_s == 0.2:\n        raise SystemExit\n"
    )
    session = project.run()
    assert session.exit == 1
    assert session.scenario()["outcome"] == "failed"
    assert "an item of it ended before its measuring did" in session.text


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_a_gate_that_is_not_to_fail_does_not(project, mode):
    project.test(PARAMETERS.format(latencies=[0.2]))
    assert project.run(f"--llm-gate={mode}").exit == 0


def test_strict_is_heard_at_the_end_of_the_session(project):
    project.test(PARAMETERS.format(latencies=[0.1]))
    assert project.run("--llm-strict=no_baseline").exit == 1


def test_an_exit_status_of_pytest_s_own_is_kept(project):
    project.test(
        PARAMETERS.format(latencies=[0.2]) + "\ndef test_exit():\n    pytest.exit('enough', returncode=9)\n"
    )
    assert project.run().exit == 9
