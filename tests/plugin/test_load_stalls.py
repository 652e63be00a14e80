"""Coordinated omission: how long everybody waited who came while the server answered nobody."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

#: In each process the first iteration holds the event loop up; the first of all stops the server before that.
TESTS = """
import os, signal, threading, time
from pytest_llmperf import llm_load

SERVER, seen = {pid}, set()

def stall(name):
    if name in seen:
        return
    seen.add(name)
    try:
        os.mkdir(name)  # only one process can
    except FileExistsError:
        pass
    else:
        os.kill(SERVER, signal.SIGSTOP)
        threading.Timer(0.6, os.kill, (SERVER, signal.SIGCONT)).start()
    time.sleep(0.45)

@llm_load(rate=100, duration="0.5s", arrivals="poisson")
async def test_poisson(async_llm):
    stall("poisson")
    await async_llm.chat("merhaba")

@llm_load(rate=100, duration="0.5s")
def test_constant_on_threads(llm):
    stall("constant")
    llm.chat("merhaba")

@llm_load(stages=[("10ms", 200), ("0.5s", 20)])
async def test_ramping(async_llm):
    stall("ramping")
    await async_llm.chat("merhaba")

@llm_load(replay=[number / 100 for number in range(50)])
async def test_replayed(async_llm):
    stall("replayed")
    await async_llm.chat("merhaba")
"""


@pytest.fixture
def project(project, one_mock):
    project.write("slo.yaml", "version: 1\n")
    project.test(TESTS.format(pid=one_mock.pid))
    yield project
    with contextlib.suppress(ProcessLookupError):
        os.kill(one_mock.pid, signal.SIGCONT)


@pytest.mark.parametrize(("processes", "selected"), [(1, "test"), (2, "poisson or replayed")])
def test_a_stall_is_in_the_latency_of_all_who_were_due_in_it(project, processes, selected):
    session = project.run("--llm-gate=off", "--llm-warmup=0", f"--llm-processes={processes}", "-k", selected)
    assert len(session.report["scenarios"]) == (4 if processes == 1 else 2), session.text
    for scenario in session.report["scenarios"]:
        load, waited = scenario["load"], scenario["series"]["latency_s"]
        assert load["processes"] == processes
        assert load["planned"] == load["started"] == len(waited)
        # In the first 0.4 s of the stall about 40 are due, and wait for at least 0.2 s; most begin late.
        # A process that begins when the server goes on again has some from its own stall. Who waited for an
        # answer before the next request would have one such sample in each process.
        assert sum(latency_s > 0.2 for latency_s in waited) >= 12, scenario["name"]
        assert load["peak"] >= 12, scenario["name"]
