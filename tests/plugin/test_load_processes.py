"""``--llm-processes``: worker processes share one profile, and what they measure is one scenario."""

from __future__ import annotations

import pytest

HEAD = """
import os
from pytest_llmperf import llm_load

"""


@pytest.fixture
def project(project):
    project.write(
        "slo.yaml",
        "version: 1\ndefaults: {warmup: 1}\nmock: {latency: {ttft: constant(20ms), itl: constant(1ms)}}\n",
    )
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


def test_a_lost_process_leaves_no_verdict(project):
    project.test(
        HEAD
        + """
@llm_slo(p95_ms=5000)
@llm_load(users=4, iterations=5)
async def test_it(async_llm):
    await async_llm.chat("merhaba")
    try:
        os.mkdir("dying")  # only one process can
    except FileExistsError:
        return
    os._exit(7)
"""
    )
    session = project.run("--llm-processes=2", "--llm-warmup=0")
    assert session.scenario()["outcome"] == "inconclusive"
    assert session.scenario()["load"]["lost"] == 1
    assert "the share of 1 of 2 processes is lost" in session.scenario()["reason"]
    assert session.scenario()["iterations"] == 10


def test_a_failing_assert_of_another_process_is_shown(project):
    project.test(
        f"{HEAD}@llm_load(users=2, iterations=2)\n"
        "def test_it(llm):\n    assert llm.chat('merhaba').text == 'no'\n"
    )
    session = project.run("--llm-processes=2")
    assert session.exit == 1
    assert "AssertionError" in session.text
    assert "pass_rate 0 % < 100 % (0 of 4" in session.text


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
