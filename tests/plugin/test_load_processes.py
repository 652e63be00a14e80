"""``--llm-processes``: worker processes share one profile, and what they measure is one scenario."""

from __future__ import annotations

import pytest

from pytest_llmperf.conducting import oversight

HEAD = """
import os, signal, time
from pytest_llmperf import llm_load

"""

#: Of two processes one does what follows, after it has measured something.
ONE_OF_TWO = """
    await async_llm.chat("merhaba")
    try:
        os.mkdir("chosen")  # only one process can
    except FileExistsError:
        return
"""


@pytest.fixture
def project(project, one_mock):
    project.write("slo.yaml", "version: 1\ndefaults: {warmup: 1}\n")
    return project


@pytest.mark.parametrize(
    ("profile", "body", "count"),
    [
        ("users=3, shared_iterations=11", "async def test_it(async_llm):\n    await async_llm", 11),
        ("rate=50, duration='0.5s', arrivals='poisson'", "def test_it(llm):\n    llm", None),
    ],
)
def test_processes_share_a_profile_exactly(project, profile, body, count):
    project.test(f"{HEAD}@llm_load({profile})\n{body}.chat('merhaba')\n")
    scenario = project.run("--llm-processes=2", "--llm-gate=off").scenario()
    load = scenario["load"]
    assert (load["processes"], load["lost"]) == (2, 0)
    assert scenario["iterations"] == load["started"] == (count or load["planned"])
    assert len(scenario["series"]["latency_s"]) == scenario["requests"]["sent"] == load["started"]
    assert sum(load["timeline"]["finished"]) == load["started"]
    assert not [warning for warning in scenario["warnings"] if warning.startswith("the server ")]  # is shared


@pytest.mark.parametrize(
    "how", ["os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGSTOP)"]
)
def test_a_process_that_dies_or_hangs_leaves_no_verdict(project, monkeypatch, how):
    monkeypatch.setattr(oversight, "SILENT_S", 3.0)
    project.test(
        f"{HEAD}@llm_slo(p95_ms=5000)\n@llm_load(users=4, iterations=5)\nasync def test_it(async_llm):"
        f"{ONE_OF_TWO}    print('noise ' * 20_000)\n    {how}\n"
    )
    session = project.run("--llm-processes=2", "--llm-warmup=0")
    assert session.scenario()["outcome"] == "inconclusive"
    assert session.scenario()["load"]["lost"] == 1
    assert "the share of 1 of 2 processes is lost" in session.scenario()["reason"]
    assert session.scenario()["iterations"] == 10
    why = "it said nothing for 3 s" if "SIGSTOP" in how else "signal 9 (Killed) ended it"
    assert f"of 2 is lost: {why}" in session.text


def test_a_process_that_is_interrupted_alone_gives_what_it_has_and_leaves_no_verdict(project):
    project.test(
        f"{HEAD}@llm_slo(p95_ms=5000)\n@llm_load(users=2, iterations=5)\nasync def test_it(async_llm):"
        f"{ONE_OF_TWO}    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    session = project.run("--llm-processes=2", "--llm-warmup=0")
    assert session.scenario()["outcome"] == "inconclusive"
    assert (session.scenario()["iterations"], session.scenario()["load"]["lost"]) == (6, 1)


def test_a_process_that_would_have_no_user_is_not_started(project):
    project.test(
        f"{HEAD}@llm_load(users=2, iterations=2)\n"
        "async def test_it(async_llm):\n    await async_llm.chat('merhaba')\n"
    )
    load = project.run("--llm-processes=3", "--llm-gate=off").scenario()["load"]
    assert (load["processes"], load["lost"], load["started"]) == (2, 0, 4)


def test_a_failing_assert_of_another_process_is_shown(project):
    project.test(
        f"{HEAD}@llm_load(users=2, iterations=2)\n"
        "def test_it(llm):\n    assert llm.chat('merhaba').text == 'no'\n"
    )
    session = project.run("--llm-processes=2")
    assert session.exit == 1
    assert "FAILED test_project.py::test_it - Failed: AssertionError" in session.text
    assert "pass_rate 0 % < 100 % (0 of 4" in session.text
    assert "plugin.py" not in session.text  # where pytest calls what leads the processes


def test_when_all_processes_are_lost_the_test_fails(project):
    project.test(f"{HEAD}@llm_load(users=2, iterations=2)\ndef test_it(llm):\n    os._exit(3)\n")
    session = project.run("--llm-processes=2", "--llm-warmup=0")
    assert session.exit == 1
    assert "every process that shared the load is lost" in session.text


def test_a_body_that_changes_the_mock_runs_in_one_process_and_says_so(project):
    project.test(
        f"{HEAD}@llm_load(users=2, iterations=2)\ndef test_it(llm, llm_mock):\n    llm.chat('merhaba')\n"
    )
    session = project.run("--llm-processes=2", "--llm-gate=off")
    assert session.scenario()["load"]["processes"] == 1
    assert "one process carried out the load, since its llm_mock belongs to one process" in session.text


@pytest.mark.parametrize("call", ["skip", "xfail"])
def test_what_ends_an_iteration_of_a_process_ends_the_test(project, call):
    project.test(
        f"{HEAD}@llm_load(users=2, iterations=2)\ndef test_it(llm):\n    pytest.{call}('no server today')\n"
    )
    session = project.run("--llm-processes=2", "-rsx")
    assert session.outcomes() == {"skipped" if call == "skip" else "xfailed": 1}
    assert "no server today" in session.text


def test_what_fails_the_test_in_one_process_does_so_in_many(project):
    project.test(
        f"{HEAD}@llm_load(users=2, duration='10m')\nasync def test_it(async_llm):"
        f"{ONE_OF_TWO}    raise SystemExit(3)\n"
    )
    session = project.run("--llm-processes=2", "--llm-warmup=0")
    assert session.outcomes() == {"failed": 1}
    assert "Failed: SystemExit: 3" in session.text


def test_processes_share_the_cases(project):
    project.test(
        f"{HEAD}@llm_slo(cases=list(range(12)))\n@llm_load(users=2, iterations=6)\n"
        "async def test_it(async_llm, llm_case):\n    open(f'case-{llm_case}', 'x').close()\n"
    )
    session = project.run("--llm-processes=2", "--llm-warmup=0")
    assert session.outcomes() == {"passed": 1}
    assert len(list(project.path.glob("case-*"))) == 12


def test_processes_together_stay_within_a_budget(project):
    """The mock gives 5 tokens back: an iteration costs about 5 USD. One process is slower than the other, as
    on a busy machine: the first that has used its share up ends the load of both.
    """
    project.write(
        "slo.yaml",
        "version: 1\nmax_cost_usd: 200\n"
        "prices: {mock: {input_per_million_usd: 0, output_per_million_usd: 1000000}}\n",
    )
    project.test(
        f"{HEAD}@llm_load(users=4, iterations=200)\nasync def test_it(async_llm):"
        f"{ONE_OF_TWO.replace('return', 'pass')}    else:\n        slow.append(True)\n"
        "    await asyncio.sleep(0.3 * len(slow))\n\nimport asyncio\nslow = []\n"
    )
    session = project.run("--llm-processes=2", "--llm-warmup=1")
    scenario = session.scenario()
    assert scenario["outcome"] == "inconclusive"
    assert "its share, 1 of 2, of what was left of the session's max_cost_usd" in scenario["reason"]
    assert 90 < scenario["cost"]["spent_usd"] <= 200


def test_failures_of_all_processes_together_abort_the_load(project, one_mock):
    one_mock.faults(kind="status", status=503)
    project.test(
        f"{HEAD}@llm_slo(success_rate=0.5)\n"
        "@llm_load(users=4, duration='50s', abort_on={'error_rate': 0.2})\n"
        "async def test_it(async_llm):\n    await async_llm.chat('merhaba')\n"
    )
    session = project.run("--llm-processes=2", "--llm-warmup=0")
    assert session.scenario()["outcome"] == "failed"
    assert session.scenario()["reason"].startswith("abort_on: 100 % of the last ")


#: As a plugin that spreads tests over machines does: by where they are among all.
SELECTIVE = """
def pytest_collection_modifyitems(items):
    items[:] = items[1:2]
"""


@pytest.mark.parametrize(
    ("conftest", "words"),
    [
        ("", ["--lf", "-x", "-k=test_it", "-p", "no:randomly"]),
        ("", ["--sw", "--maxfail=1", "--deselect=test_project.py::test_last", "--basetemp=temp"]),
        (SELECTIVE, ["--ff", "--cache-clear"]),
    ],
)
def test_processes_run_what_the_session_has_selected(project, conftest, words):
    """One test has failed before, and another one before it has passed."""
    project.write("conftest.py", conftest)
    project.test(
        HEAD
        + """
def test_first():
    pass

@llm_load(users=2, iterations=3)
@pytest.mark.parametrize("text", ["a/../b//c::d"])
def test_it(llm, text, tmp_path):
    llm.chat(text)
    assert os.path.exists("mended")

def test_last():
    pass
"""
    )
    project.run("--llm-iterations=1", "--llm-warmup=0")
    project.write("mended", "")
    session = project.run("--llm-processes=2", "--llm-gate=off", "--llm-warmup=0", *words)
    scenario = session.scenario()
    assert (scenario["load"]["processes"], scenario["load"]["lost"]) == (2, 0), session.text
    assert scenario["iterations"] == 6


def test_memory_of_the_generator_is_that_of_all_its_processes(project):
    project.test(
        f"{HEAD}@llm_load(users=2, duration='1s')\nasync def test_it(async_llm):\n"
        "    await async_llm.chat('merhaba')\n\n"
        "ballast = b'x' * 200_000_000 if 'LLMPERF_SHARD' in os.environ else b''\n"
    )
    usage = project.run("--llm-processes=2", "--llm-gate=off").scenario()["resources"]["usage"]
    assert usage["generator_rss_mb"]["mean"] > 400
    assert {"generator_cpu_percent", "machine_cpu_percent", "rss_mb"} <= set(usage)


def test_nothing_is_run_where_tests_are_only_collected(project):
    project.test(f"{HEAD}@llm_load(users=2, iterations=2)\ndef test_it(llm):\n    open('run', 'w').close()\n")
    assert project.run("--llm-processes=2", "--collect-only", "-q").exit == 0
    assert not (project.path / "run").exists()
