"""Ctrl-C, SIGTERM and worse in the middle of a load: nothing measured is lost, and nothing is left behind."""

from __future__ import annotations

import time

import psutil
import pytest

#: The leading session is sent *SIGNALS* once enough was measured; every process notes its id.
TEST = """
import asyncio, os, pathlib, signal, threading, time
from pytest_llmperf import llm_load

LEADS = os.environ.get("LLMPERF_SHARD") is None
pathlib.Path("pids").mkdir(exist_ok=True)
pathlib.Path("pids", str(os.getpid())).touch()
if LEADS:  # a shell starts what runs in its background with SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)

@llm_load(users=2, duration="10m", graceful_stop="10m")
async def test_it(async_llm):
    await async_llm.chat("merhaba")
    with open("count", "a") as file:
        file.write("x")
    in_a_part()

def in_a_part():
    pass

@pytest.fixture(scope="session", autouse=True)
def impatient():
    leader = os.getpid()

    def watch():
        while not (os.path.exists("count") and os.path.getsize("count") > 12):
            time.sleep(0.02)
        for number in SIGNALS:
            os.kill(leader, number)
            time.sleep(1.5)  # two that are pending at once are one

    if LEADS:
        threading.Thread(target=watch, daemon=True).start()
"""


def session(project, *signals, processes, more=""):
    project.write("slo.yaml", "version: 1\nmock: {latency: {ttft: constant(20ms), itl: constant(1ms)}}\n")
    words = ", ".join(f"signal.{name}" for name in signals)
    project.test(f"{TEST}\nSIGNALS = [{words}]\n{more}")
    # Whoever waits for the profile's end, or for iterations to finish, is a failure.
    return project.run_apart(f"--llm-processes={processes}", "--llm-warmup=0", timeout_s=300)


def alive(project):
    """Who still runs of those that imported the test."""
    return [pid for pid in pids(project) if psutil.pid_exists(pid)]


def pids(project):
    return [int(path.name) for path in (project.path / "pids").iterdir()]


@pytest.mark.parametrize(("processes", "signal"), [(1, "SIGTERM"), (2, "SIGTERM"), (2, "SIGINT")])
def test_an_interrupted_load_keeps_what_was_measured(project, processes, signal):
    ended = session(project, signal, processes=processes)
    assert ended.exit == pytest.ExitCode.INTERRUPTED
    scenario = ended.scenario()
    assert (scenario["load"]["processes"], scenario["load"]["lost"]) == (processes, 0)
    assert len(scenario["series"]["latency_s"]) == scenario["iterations"] >= 10
    assert "interrupted in iteration" in scenario["reason"]
    assert len(pids(project)) == (1 if processes == 1 else 3)
    assert alive(project) == []


def test_a_second_ctrl_c_ends_parts_that_do_not_listen(project):
    deaf = "if not LEADS:\n    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    ended = session(project, "SIGINT", "SIGINT", processes=2, more=deaf)
    assert ended.exit == pytest.ExitCode.INTERRUPTED
    assert "it was not waited for any longer" in ended.text
    assert alive(project) == []


def test_parts_of_a_session_that_is_killed_end_by_themselves_and_put_their_files_away(project, monkeypatch):
    project.write("temporary/others", "")
    monkeypatch.setenv("TMPDIR", str(project.path / "temporary"))
    session(project, "SIGKILL", processes=2)
    ends_s = time.monotonic() + 60
    while alive(project) and time.monotonic() < ends_s:
        time.sleep(0.1)
    assert alive(project) == []
    assert not list((project.path / "temporary").glob("llmperf-shard-*"))
