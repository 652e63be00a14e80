"""What ends a scenario before its verdict, and what pytest's own switches do with it."""

from __future__ import annotations

import pytest

#: A scenario whose third measured iteration does {statement}.
SCENARIO = """
import itertools, unittest
count = itertools.count()

@llm_slo(p95_ms=150, warmup=2, iterations=10)
def test_router(ask):
    ask()
    if next(count) == 4:
        {statement}

def test_after():
    pass
"""


@pytest.mark.parametrize("statement", ["pytest.skip('no GPU')", "raise unittest.SkipTest('no GPU')"])
def test_a_skip_inside_ends_the_item_and_judges_nothing(project, statement):
    project.test(SCENARIO.format(statement=statement))
    session = project.run()
    assert session.outcomes() == {"passed": 1, "skipped": 1}
    assert session.exit == 0
    assert session.scenario()["outcome"] == "skipped"
    assert "no GPU" in session.scenario()["reason"]
    assert session.n() == 2


def test_an_imperative_xfail_ends_the_item_and_judges_nothing(project):
    project.test(SCENARIO.format(statement="pytest.xfail('known')"))
    session = project.run()
    assert session.outcomes() == {"passed": 1, "xfailed": 1}
    assert session.scenario()["outcome"] == "skipped"
    assert session.n() == 2


def test_pytest_fail_counts_as_a_failed_iteration(project):
    project.test(SCENARIO.format(statement="pytest.fail('wrong answer')"))
    session = project.run()
    assert session.outcomes() == {"passed": 1, "failed": 1}
    assert session.scenario()["proportions"]["pass_rate"] == {"successes": 9, "trials": 10}
    assert "wrong answer" in session.text


@pytest.mark.parametrize(("code", "exit_status"), [("", 2), (", returncode=7", 7), (", returncode=0", 0)])
def test_pytest_exit_ends_the_session_and_what_was_measured_is_shown(project, code, exit_status):
    project.test(SCENARIO.format(statement=f"pytest.exit('enough'{code})"))
    session = project.run("--save-baseline")
    assert session.exit == exit_status
    assert session.scenario()["outcome"] == "skipped"
    assert session.n() == 2
    assert not (project.path / ".llmperf").exists()


def test_nothing_is_saved_of_finished_scenarios_when_the_session_is_ended(project):
    project.test(
        """
        @llm_slo(p95_ms=150, iterations=5)
        def test_first(ask):
            ask()

        def test_end():
            pytest.exit("enough", returncode=0)
        """
    )
    session = project.run("--save-baseline")
    assert "no baseline was saved: the session did not end by itself" in session.text
    assert not (project.path / ".llmperf").exists()


@pytest.mark.parametrize("kind", ["", "async "])
def test_an_error_that_is_no_exception_of_the_iteration_fails_the_test(project, kind):
    project.test(
        SCENARIO.replace("def test_router", f"{kind}def test_router").format(statement="raise SystemExit(3)")
    )
    session = project.run()
    assert session.outcomes() == {"passed": 1, "failed": 1}
    assert session.scenario()["outcome"] == "failed"
    assert session.scenario()["reason"] == "measuring ended before a verdict"


XFAIL = """
@pytest.mark.xfail(strict={strict}, reason="slow")
@llm_slo(p95_ms=150, iterations=30, max_iterations=30)
def test_router(ask):
    ask({latency})
"""


@pytest.mark.parametrize(
    ("latency", "strict", "counted", "outcome"),
    [
        (0.2, False, "xfailed", "skipped"),
        (0.2, True, "xfailed", "skipped"),
        (0.1, False, "xpassed", "skipped"),
        (0.1, True, "failed", "no_baseline"),
    ],
)
def test_an_xfail_mark_takes_a_broken_limit(project, latency, strict, counted, outcome):
    project.test(XFAIL.format(latency=latency, strict=strict))
    session = project.run()
    assert session.outcomes() == {counted: 1}
    assert session.exit == (counted == "failed")
    assert session.scenario()["outcome"] == outcome
    assert session.n() == 30


def test_xfail_without_a_run_measures_nothing(project):
    project.test(XFAIL.replace("strict={strict}", "run=False").format(latency=0.1))
    session = project.run()
    assert session.outcomes() == {"xfailed": 1}
    assert session.exit == 0
    assert session.report is None


@pytest.mark.parametrize("mark", ["skip", "skipif(True, reason='no GPU')"])
def test_a_skip_mark_measures_nothing(project, mark):
    project.test(f"@pytest.mark.{mark}\n@llm_slo(p95_ms=150)\ndef test_router(ask):\n    ask()\n")
    session = project.run()
    assert session.outcomes() == {"skipped": 1}
    assert session.exit == 0
    assert session.report is None


def test_an_error_in_a_fixture_is_pytest_s_and_measures_nothing(project):
    project.test(
        """
        @pytest.fixture
        def broken():
            raise RuntimeError("no database")

        @llm_slo(p95_ms=150)
        def test_router(ask, broken):
            ask()
        """
    )
    session = project.run()
    assert session.outcomes() == {"errors": 1}
    assert session.exit == 1


def test_an_error_in_a_teardown_keeps_the_measurement(project):
    project.test(
        """
        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("no database")

        @llm_slo(p95_ms=150, iterations=5)
        def test_router(ask, broken):
            ask()
        """
    )
    session = project.run()
    assert session.outcomes() == {"passed": 1, "errors": 1}
    assert session.n() == 5


SUBTESTS = """
@llm_slo(p95_ms=150, warmup=1, iterations=5)
def test_router(ask, subtests):
    for case in range(2):
        with subtests.test(case=case):
            ask()
            assert {condition}
"""


def test_native_subtests_inside_are_measured_once(project):
    project.test(SUBTESTS.format(condition="True"))
    session = project.run()
    assert session.exit == 0
    assert session.n() == 10


def test_a_failing_native_subtest_fails_the_run(project):
    project.test(SUBTESTS.format(condition="case == 0"))
    session = project.run()
    assert session.exit == 1
    assert session.n() == 10


#: Says that it was started, and goes on.
DEBUGGER = """
class Pdb:
    quitting = False

    def __init__(self, *args, **words):
        pass

    def reset(self):
        pass

    def interaction(self, frame, error):
        print("the debugger was started")
"""

TWO = """
@llm_slo(p95_ms=150, iterations=30, max_iterations=30)
def test_slow(ask):
    ask(0.2)

@llm_slo(p95_ms=150, iterations=5)
def test_fast(ask):
    ask()

def test_unit():
    pass
"""


def test_x_stops_at_a_broken_limit(project):
    project.test(TWO)
    session = project.run("-x")
    assert session.outcomes() == {"failed": 1}
    assert session.scenario()["name"] == "test_slow"


def test_lf_runs_the_broken_scenario_again(project):
    project.test(TWO)
    project.run()
    session = project.run("--lf")
    assert session.outcomes() == {"failed": 1}


def test_k_and_the_mark_select_scenarios(project):
    project.test(TWO)
    assert project.run("-k", "fast").scenario()["name"] == "test_fast"
    assert project.run("-m", "llm_slo").outcomes() == {"passed": 1, "failed": 1, "deselected": 1}
    assert project.run("-m", "not llm_slo").report is None


def test_collect_only_and_setup_only_measure_nothing(project):
    project.test(TWO)
    for flag in ("--collect-only", "--setup-only", "--setup-plan"):
        session = project.run(flag)
        assert session.exit == 0
        assert session.report is None
        assert "llm performance" not in session.text or flag != "--collect-only"


def test_pdb_stops_where_the_first_iteration_fails(project):
    project.test(
        """
        import itertools
        count = itertools.count()

        @llm_slo(p95_ms=150, warmup=1, iterations=10)
        def test_router(ask):
            ask()
            number = next(count)
            assert number != 4, f"iteration {number}"
        """
    )
    project.write("mypdb.py", DEBUGGER)
    project.pytester.syspathinsert()
    session = project.run("--pdb", "--pdbcls=mypdb:Pdb")
    assert "iteration 4" in session.text
    assert session.text.count("the debugger was started") == 1
    assert session.exit == 1
    assert session.scenario()["iterations"] == 4
    assert session.scenario()["outcome"] == "failed"


def test_ctrl_c_summarises_what_was_measured_and_saves_nothing(project):
    project.test(
        """
        import signal, itertools
        # A shell starts what runs in its background with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        count = itertools.count()

        @llm_slo(p95_ms=150, iterations=5)
        def test_first(ask):
            ask()

        @llm_slo(p95_ms=150, warmup=2, iterations=30)
        def test_second(ask):
            ask()
            if next(count) == 10:
                signal.raise_signal(signal.SIGINT)
        """
    )
    session = project.run_apart("--save-baseline")
    assert session.exit == 2
    assert session.scenario("test_first")["outcome"] in {"passed", "no_baseline"}
    second = session.scenario("test_second")
    assert second["outcome"] == "skipped"
    assert second["reason"] == "interrupted in iteration 9"
    assert second["iterations"] == 8
    assert "no baseline was saved" in session.text
    assert not (project.path / ".llmperf").exists()


def test_ctrl_c_under_pdb_reports_the_scenario_once(project):
    project.test(SCENARIO.format(statement="raise KeyboardInterrupt"))
    project.write("mypdb.py", DEBUGGER)
    session = project.run_apart("--pdb", "--pdbcls=mypdb:Pdb", plugins=("llmperf", "mypdb"))
    assert session.exit != 0
    assert session.scenario()["name"] == "test_router"


def test_a_method_of_a_unittest_class_cannot_pass_unmeasured(project):
    project.test(
        """
        import unittest

        class TestOld(unittest.TestCase):
            @llm_slo(p95_ms=150)
            def test_router(self):
                pass
        """
    )
    session = project.run()
    assert session.exit == 3
    assert (
        "TestOld::test_router carries llm_slo or llm_load and was not measured: only test functions can be"
        in session.text
    )


def test_an_item_of_another_plugin_cannot_pass_unmeasured(project):
    project.write(
        "conftest.py",
        """
        import pytest

        class Check(pytest.Item):
            def runtest(self):
                pass

        class File(pytest.File):
            def collect(self):
                item = Check.from_parent(self, name="check")
                item.add_marker(pytest.mark.llm_slo(p95_ms=150))
                yield item

        def pytest_collect_file(file_path, parent):
            if file_path.suffix == ".check":
                return File.from_parent(parent, path=file_path)
        """,
    )
    project.write("router.check", "")
    session = project.run()
    assert session.exit == 3
    assert "was not measured" in session.text


def test_a_run_of_a_test_that_is_run_again_does_not_count(project):
    """As pytest-rerunfailures does it."""
    project.test(
        """
        import itertools
        count = itertools.count()

        @llm_slo(p95_ms=150, warmup=0, iterations=30, max_iterations=30)
        def test_router(ask):
            ask(0.2 if next(count) < 30 else 0.1)
        """
    )
    project.write(
        "rerun.py",
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            hook = item.ihook
            hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for attempt in range(2):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
                last = attempt == 1 or not any(report.failed for report in reports)
                for report in reports:
                    if report.failed and not last:
                        report.outcome = "rerun"
                    hook.pytest_runtest_logreport(report=report)
                if last:
                    break
                item._initrequest()
            hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            return True

        def pytest_report_teststatus(report):
            if report.outcome == "rerun":
                return "rerun", "R", "RERUN"
        """,
    )
    project.pytester.syspathinsert()
    session = project.run(plugins=("llmperf", "rerun"))
    assert session.exit == 0
    assert session.scenario()["outcome"] == "no_baseline"
    assert session.n() == 30
