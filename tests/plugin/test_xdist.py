"""Workers of pytest-xdist: the same verdicts, in turns, and nothing that is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WITH_XDIST = ("llmperf", "xdist")

SCRIPTED = """
import random

def latencies(name, median):
    rng = random.Random(name)
    return lambda: median * rng.lognormvariate(0, 0.05)

@pytest.mark.parametrize("name, median", [("a", 0.1), ("b", 0.16), ("c", 0.12)])
@llm_slo(p95_ms=150, warmup=0, iterations=30, max_iterations=60)
def test_router(ask, name, median):
    ask(LATENCY[name]())

LATENCY = {"a": latencies("a", 0.1), "b": latencies("b", 0.16), "c": latencies("c", 0.12)}

@pytest.mark.parametrize("part", range(3))
@llm_slo(p95_ms=150, warmup=0, iterations=10, scenario="pool")
def test_pool(ask, part):
    ask(0.1 + part / 100)
"""


def verdicts(session) -> dict[str, object]:
    """Every scenario's outcome and checks."""
    return {
        one["name"]: (one["outcome"], [(check["metric"], check["outcome"]) for check in one["checks"]])
        for one in session.report["scenarios"]
    }


@pytest.mark.parametrize("words", [("-n0",), ("-n2",), ("-n2", "--dist=loadgroup")], ids=" ".join)
def test_verdicts_are_the_same_with_and_without_workers(project, words):
    project.test(SCRIPTED)
    plain = project.run()
    run = project.run if words == ("-n0",) else project.run_apart
    session = run(*words, plugins=WITH_XDIST)
    assert session.exit == plain.exit == 1
    assert session.outcomes() == plain.outcomes() == {"passed": 5, "failed": 1}
    assert verdicts(session) == verdicts(plain)


def test_scenarios_take_turns(project):
    project.test(
        """
        import os, pathlib, time

        @pytest.mark.parametrize("part", range(4))
        @llm_slo(p95_ms=900, warmup=0, iterations=3, max_iterations=3)
        def test_router(ask, part):
            running = pathlib.Path("running")
            assert not running.exists(), "another one is measured"
            running.write_text(str(os.getpid()))
            time.sleep(0.05)
            running.unlink()
            ask()
        """
    )
    session = project.run_apart("-n2", "--dist=load", plugins=WITH_XDIST)
    assert session.outcomes() == {"passed": 4}


CRASH = """
@llm_slo(p95_ms=150, warmup=0, iterations=5)
def test_first(ask):
    ask()

def test_crash():
    import os
    os._exit(1)
"""


def test_a_crashed_worker_keeps_what_was_finished_and_fails_the_run(project):
    project.test(CRASH)
    session = project.run_apart("-n1", "--max-worker-restart=0", plugins=WITH_XDIST)
    assert session.exit != 0
    assert session.n("test_first") == 5


def test_a_scenario_in_which_the_worker_crashes_fails_the_run(project):
    project.test("import os\n@llm_slo(p95_ms=150)\ndef test_crash(ask):\n    os._exit(0)\n")
    session = project.run_apart("-n1", "--max-worker-restart=0", plugins=WITH_XDIST)
    assert session.exit != 0


def test_a_report_that_cannot_be_sent_fails_the_run(project):
    """With xdist alone such a run ends with "no tests ran" and exit status 0."""
    project.test("@llm_slo(p95_ms=150, iterations=5)\ndef test_router(ask):\n    ask()\n")
    project.write(
        "other.py",
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            report.other = object()
            return report
        """,
    )
    project.pytester.syspathinsert()
    session = project.run_apart("-n1", plugins=("llmperf", "xdist", "other"))
    assert session.exit != 0


def test_an_internal_error_in_a_worker_without_scenarios_is_not_hidden(project):
    project.test("def test_plain():\n    pass\n")
    project.write("other.py", "def pytest_runtest_logreport(report):\n    raise RuntimeError('boom')\n")
    project.pytester.syspathinsert()
    session = project.run_apart("-n1", plugins=("llmperf", "xdist", "other"))
    assert session.exit != 0


MOCKED = """
import os, pathlib
from pytest_llmperf.sharing import rig_of

@pytest.mark.parametrize("part", range(2))
@llm_slo(p95_ms=900, warmup=0, iterations=3, max_iterations=3)
def test_router(llm, part, request):
    pathlib.Path("mock-%d" % rig_of(request.config).companions.mock.pid).touch()
    assert llm.chat("merhaba").text
    {more}
"""

FAST = 'version: 1\nmock: {latency: {ttft: "constant(1ms)", itl: "constant(0ms)"}}\n'


def mocks(project) -> list[int]:
    """Process ids of the mock servers that were started."""
    return [int(path.name.removeprefix("mock-")) for path in project.path.glob("mock-*")]


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids, within_s=60) -> bool:
    until = time.monotonic() + within_s
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.fixture
def mocked(project):
    project.write("slo.yaml", FAST)
    return project


def test_mock_servers_are_gone_after_workers_ended(mocked):
    mocked.test(MOCKED.format(more=""))
    session = mocked.run_apart("-n2", plugins=WITH_XDIST)
    assert session.outcomes() == {"passed": 2}
    assert session.exit == 0
    assert mocks(mocked)
    assert gone(mocks(mocked))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_mock_server_is_gone_after_pytest_was_killed(mocked):
    mocked.test("import time\n" + MOCKED.format(more="pathlib.Path('ready').touch(); time.sleep(60)"))
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "llmperf"],
        cwd=mocked.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not (mocked.path / "ready").exists() and time.monotonic() < until:
        time.sleep(0.05)
    (pid,) = mocks(mocked)
    assert alive(pid)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert gone([pid])


def test_nothing_stays_in_the_temporary_directory(project, tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    project.test(SCRIPTED)
    project.run_apart("-n1", plugins=WITH_XDIST)
    assert [path.name for path in place.glob("llmperf*")] == []


def test_baselines_of_workers_are_saved_by_the_controller(project):
    project.test(SCRIPTED.replace("p95_ms=150", "p95_ms=900"))
    session = project.run_apart("-n2", "--save-baseline", "--llm-iterations=20", plugins=WITH_XDIST)
    assert session.exit == 0
    files = list(project.path.glob(".llmperf/baselines/*/*/*.json"))
    assert sorted(json.loads(path.read_text("utf-8"))["scenario"] for path in files) == [
        "pool",
        *(f"test_project.py::test_router[{name}]" for name in ("a-0.1", "b-0.16", "c-0.12")),
    ]


def test_a_worker_that_crashes_between_tests_fails_the_run(project):
    project.test("@llm_slo(p95_ms=150, iterations=5)\ndef test_router(ask):\n    ask()\n")
    project.write(
        "other.py",
        """
        import os

        def pytest_runtest_logfinish(nodeid):
            if "PYTEST_XDIST_WORKER" in os.environ:
                os._exit(1)
        """,
    )
    project.pytester.syspathinsert()
    session = project.run_apart("-n1", "--max-worker-restart=0", plugins=("llmperf", "xdist", "other"))
    assert session.exit != 0
    assert any("a worker crashed" in problem for problem in session.report["problems"])
