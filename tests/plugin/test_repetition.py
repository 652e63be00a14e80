"""A scenario's body is warmed up and repeated."""

from __future__ import annotations

import pytest


def test_the_body_runs_warmup_and_iterations_times(project):
    project.test(
        """
        ran = []

        @llm_slo(p95_ms=150, warmup=2, iterations=7, max_iterations=7)
        def test_router(ask):
            ran.append(1)
            ask()

        def test_count():
            assert len(ran) == 9
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 2}
    assert session.exit == 0
    assert session.n() == 7


def test_warm_up_is_not_measured(project):
    project.test(
        """
        import itertools
        latencies = itertools.chain([9.0] * 3, itertools.repeat(0.1))

        @llm_slo(max_ms=150, warmup=3, iterations=5)
        def test_router(ask):
            ask(next(latencies))
        """
    )
    session = project.run()
    assert session.exit == 0
    assert session.scenario()["series"]["latency_s"] == pytest.approx([0.1] * 5)


def test_every_request_of_an_iteration_is_a_sample(project):
    project.test(
        """
        @llm_slo(p95_ms=150, warmup=1, iterations=5)
        def test_two(ask):
            ask()
            ask()
        """
    )
    session = project.run()
    assert session.n() == 10
    assert len(session.scenario()["series"]["task_s"]) == 5


def test_methods_are_scenarios_and_their_class_may_carry_the_mark(project):
    project.test(
        """
        @llm_slo(p95_ms=150, iterations=4)
        class TestAssistant:
            def test_router(self, ask):
                ask()

            @llm_slo(iterations=6)
            def test_chat(self, ask):
                ask()
        """
    )
    session = project.run()
    assert session.exit == 0
    assert session.n("test_router") == 4
    assert session.n("test_chat") == 6


def test_every_parameter_is_a_scenario_of_its_own(project):
    project.test(
        """
        @pytest.mark.parametrize("latency_s", [0.1, 0.2], ids=["fast", "slow"])
        @llm_slo(p95_ms=150, iterations=30, max_iterations=30)
        def test_router(ask, latency_s):
            ask(latency_s)
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 1, "failed": 1}
    assert session.scenario("test_router[fast]")["outcome"] == "no_baseline"
    assert session.scenario("test_router[slow]")["outcome"] == "failed"


def test_fixtures_of_every_scope_are_set_up_once(project):
    project.test(
        """
        made = []

        def fixture(scope):
            @pytest.fixture(scope=scope)
            def made_once():
                made.append(scope)
                yield scope
                made.append("-" + scope)
            return made_once

        session, package, module, klass, function = map(
            fixture, ["session", "package", "module", "class", "function"]
        )

        @llm_slo(p95_ms=150, warmup=1, iterations=5)
        def test_router(ask, session, package, module, klass, function):
            ask()

        def test_count():
            assert made == ["session", "package", "module", "class", "function", "-function", "-class"]
        """
    )
    assert project.run().outcomes() == {"passed": 2}


def test_an_argument_of_pytest_param_wins_over_the_function_s(project):
    project.test(
        """
        @pytest.mark.parametrize("name", ["a", pytest.param("b", marks=llm_slo(iterations=3))])
        @llm_slo(p95_ms=150, iterations=5)
        def test_router(ask, name):
            ask()
        """
    )
    session = project.run()
    assert session.n("test_router[a]") == 5
    assert session.n("test_router[b]") == 3


def test_the_mark_of_pytest_and_ours_are_the_same(project):
    project.test(
        """
        @pytest.mark.llm_slo(p95_ms=150, iterations=5)
        def test_router(ask):
            ask()
        """
    )
    session = project.run("--strict-markers")
    assert session.exit == 0
    assert session.n() == 5


def test_tests_without_the_mark_run_once(project):
    project.test(
        """
        ran = []

        def test_plain(ask):
            ran.append(1)

        def test_count():
            assert ran == [1]
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 2}
    assert session.report is None


def test_the_command_line_wins_over_the_mark_and_the_mark_over_the_ini_file(project):
    project.write("pytest.ini", "[pytest]\nllm_iterations = 9\nllm_warmup = 0\n")
    project.test(
        """
        ran = []

        @llm_slo(p95_ms=150, iterations=5)
        def test_marked(ask):
            ask()

        @llm_slo(p95_ms=150)
        def test_unmarked(ask):
            ran.append(1)
            ask()

        def test_no_warmup():
            assert len(ran) in {9, 4}
        """
    )
    session = project.run()
    assert (session.n("test_marked"), session.n("test_unmarked")) == (5, 9)
    session = project.run("--llm-iterations=4")
    assert (session.n("test_marked"), session.n("test_unmarked")) == (4, 4)
    assert session.exit == 0


def test_the_environment_wins_over_the_ini_file(project, monkeypatch):
    project.write("pytest.ini", "[pytest]\nllm_iterations = 9\n")
    project.test(
        """
        @llm_slo(p95_ms=150)
        def test_router(ask):
            ask()
        """
    )
    monkeypatch.setenv("LLMPERF_ITERATIONS", "6")
    assert project.run().n() == 6


def test_a_group_of_workers_does_not_change_the_scenario_s_name(project):
    """As pytest-xdist appends it to the node id under --dist=loadgroup."""
    project.test(
        """
        from pytest_llmperf.markers import node_id

        @pytest.mark.xdist_group("gpu")
        @pytest.mark.xdist_group(name="big")
        @pytest.mark.parametrize("part", ["a@gpu"])
        def test_grouped(request, part):
            class Renamed:
                nodeid = request.node.nodeid + "@big_gpu"
                iter_markers = request.node.iter_markers

            assert node_id(Renamed()) == node_id(request.node) == request.node.nodeid

        @pytest.mark.parametrize("part", ["a@gpu"])
        def test_ungrouped(request, part):
            assert node_id(request.node) == request.node.nodeid
        """
    )
    project.run().result.assert_outcomes(passed=2)
