"""Weighted mixes: several tests share one load profile, and each is judged on its own."""

from __future__ import annotations

import pytest

from pytest_llmperf.core import load_report

HEAD = "from pytest_llmperf import llm_load\n"

TWO = (
    HEAD
    + """
ran = []

@llm_slo(success_rate=1.0)
@llm_load(mix="frontdoor", weight=75, users=4, shared_iterations=40)
async def test_sector(async_llm):
    ran.append("sector")
    await async_llm.chat("sector")

@llm_slo(p95_ms=5000)
@llm_load(mix="frontdoor", weight=25)
async def test_general(async_llm):
    ran.append("general")
    await async_llm.chat("general")

def test_how_often():
    assert (ran.count("sector"), ran.count("general")) == (30, 10)
"""
)

FACT = "4 users, shared iterations, mix frontdoor: test_general 25 %, test_sector 75 %"


@pytest.fixture
def project(project, one_mock):
    """A project with a quick mock."""
    project.write("slo.yaml", "version: 1\ndefaults: {warmup: 0}\n")
    return project


def iterations(session):
    return {one["name"]: one["iterations"] for one in session.report["scenarios"]}


def test_every_member_gets_its_share_of_one_run_and_its_own_samples(project):
    project.test(TWO)
    session = project.run("--llm-gate=off")
    assert session.outcomes() == {"passed": 3}
    assert iterations(session) == {"test_sector": 30, "test_general": 10}
    for name, count in iterations(session).items():
        scenario = session.scenario(name)
        assert len(scenario["series"]["latency_s"]) == scenario["load"]["started"] == count
        assert scenario["facts"]["load profile"] == scenario["load"]["profile"] == FACT
        assert sum(scenario["load"]["timeline"]["finished"]) == count


POOLED = (
    HEAD
    + """
import time
from pathlib import Path

began_s = []

@llm_slo(scenario="frontdoor")
@llm_load(mix="frontdoor", users=4, shared_iterations=40)
async def test_sector(async_llm):
    began_s.append(time.perf_counter())
    await async_llm.chat("sector")

@llm_slo(scenario="frontdoor")
@llm_load(mix="frontdoor")
async def test_general(async_llm):
    began_s.append(time.perf_counter())
    await async_llm.chat("general")

def test_how_long():
    Path("seconds").write_text(str(time.perf_counter() - began_s[0]))
"""
)


def test_the_times_of_pooled_members_do_not_add_up(project):
    project.test(POOLED)
    session = project.run("--llm-gate=off")
    assert session.n("frontdoor") == 40
    assert 0 < session.scenario()["wall_s"] < float((project.path / "seconds").read_text("utf-8"))


@pytest.mark.parametrize("late", ["test_sector", "test_general"])
def test_every_member_is_judged_by_its_own_limits_and_in_its_own_name(project, late):
    two = TWO.replace("def test_how_often", "def no_test")
    project.test(two.replace(f"def {late}(async_llm):", f"def {late}(async_llm):\n    assert not ran[20:]"))
    session = project.run()
    assert session.outcomes() == {"failed": 1, "passed": 1}
    assert f"FAILED test_project.py::{late}" in session.text
    assert "assert not [" in session.text
    assert {one["name"]: one["outcome"] for one in session.report["scenarios"]}[late] == "failed"


def test_coroutines_and_plain_functions_mix(project):
    project.test(
        TWO.replace("async def test_general(async_llm)", "def test_general(llm)").replace(
            'await async_llm.chat("general")', 'llm.chat("general")'
        )
    )
    session = project.run("--llm-gate=off")
    assert session.outcomes() == {"passed": 3}
    assert iterations(session) == {"test_sector": 30, "test_general": 10}


@pytest.mark.parametrize("first", ["async", "plain"])
def test_whoever_comes_first_has_all_measured(project, first):
    bodies = {
        "async": "async def test_{}(async_llm, mine):\n    await async_llm.chat('x')\n    mine.append(1)\n",
        "plain": "def test_{}(llm, mine):\n    llm.chat('x')\n    mine.append(1)\n",
    }
    second = bodies["plain" if first == "async" else "async"].format("b")
    project.test(
        f"{HEAD}@pytest.fixture(scope='module')\ndef mine():\n    return []\n\n"
        f"@llm_load(mix='m', users=2, iterations=10)\n{bodies[first].format('a')}\n"
        f"@llm_load(mix='m')\n{second}\n"
        "def test_mine(mine):\n    assert len(mine) == 20\n"
    )
    session = project.run("--llm-gate=off")
    assert session.outcomes() == {"passed": 3}
    assert iterations(session) == {"test_a": 10, "test_b": 10}


def test_plain_functions_alone_run_on_threads(project):
    project.test(
        f"{HEAD}@pytest.mark.parametrize('text', ['a', 'b'])\n"
        "@llm_load(mix='m', users=2, iterations=10)\n"
        "def test_it(llm, text):\n    assert text in 'ab'\n    llm.chat(text)\n"
    )
    session = project.run("--llm-gate=off")
    assert iterations(session) == {"test_it[a]": 10, "test_it[b]": 10}


def test_members_take_their_own_cases(project):
    project.test(
        f"{HEAD}seen = set()\n\n"
        "@llm_slo(cases=['a', 'b'])\n@llm_load(mix='m', users=2, iterations=20)\n"
        "def test_x(llm, llm_case):\n    seen.add(llm_case)\n\n"
        "@llm_slo(cases=['c', 'd'])\n@llm_load(mix='m')\n"
        "def test_y(llm, llm_case):\n    seen.add(llm_case)\n\n"
        "def test_seen():\n    assert seen == set('abcd')\n"
    )
    assert project.run("--llm-gate=off").outcomes() == {"passed": 3}


@pytest.mark.parametrize("how", ["-k", "skip", "node id"])
def test_a_member_that_does_not_run_leaves_the_mix_to_the_others_and_the_fact_says_so(project, how):
    test = project.test(
        TWO if how != "skip" else TWO.replace("@llm_slo(success", "@pytest.mark.skip\n@llm_slo(success")
    )
    words = {"-k": ("-k", "general"), "skip": (), "node id": (f"{test.name}::test_general",)}[how]
    session = project.run("--llm-gate=off", *words)
    assert iterations(session) == {"test_general": 40}
    fact = "4 users, shared iterations, mix frontdoor: test_general 100 %"
    assert session.scenario()["facts"]["load profile"] == fact


def test_baselines_are_saved_and_compared_per_member_and_only_for_the_same_mix(project, monkeypatch):
    monkeypatch.setattr(load_report, "saturation", lambda *_, **__: ())  # a busy machine is not the subject
    project.test(TWO)
    assert project.run("--save-baseline").exit == 0
    outcomes = {one["name"]: one["outcome"] for one in project.run().report["scenarios"]}
    assert set(outcomes) == {"test_sector", "test_general"}
    assert outcomes["test_sector"] not in {"no_baseline", "not_comparable"}
    assert project.run("-k", "sector").scenario()["outcome"] == "not_comparable"


def test_what_was_measured_of_a_member_that_is_not_reached_is_reported(project):
    project.test(TWO.replace('ran.append("sector")', "assert False"))
    session = project.run("-x")
    assert session.outcomes() == {"failed": 1}
    assert iterations(session) == {"test_sector": 30, "test_general": 10}


@pytest.mark.parametrize("what", ["raise KeyboardInterrupt", "pytest.exit('enough')"])
def test_an_interrupted_mix_keeps_what_every_member_measured(project, what):
    project.test(TWO.replace('await async_llm.chat("general")', f"if len(ran) > 20: {what}"))
    session = project.run_apart()
    assert session.exit == 2
    assert set(iterations(session)) == {"test_sector", "test_general"}
    assert "interrupted in iteration" in session.scenario("test_sector")["reason"]


def test_a_skip_inside_ends_the_mix_for_all(project):
    project.test(TWO.replace('await async_llm.chat("general")', 'pytest.skip("no server today")'))
    session = project.run("-k", "not often", "-rs")
    assert session.outcomes() == {"skipped": 2, "deselected": 1}
    assert "the mix ended: no server today" in session.text


def test_workers_of_xdist_share_one_run(project):
    two = TWO.replace("def test_how_often", "def no_test")
    project.test(two.replace('await async_llm.chat("general")', "assert not ran"))
    session = project.run_apart("-n2", plugins=("llmperf", "xdist"))
    assert session.outcomes() == {"failed": 1, "passed": 1}
    assert iterations(session) == {"test_sector": 30, "test_general": 10}
    assert "FAILED test_project.py::test_general" in session.text
    assert "AssertionError: assert not [" in session.text


def test_a_member_that_no_worker_comes_to_is_reported_too(project):
    project.test(
        TWO.replace('ran.append("sector")', "assert False").replace("def test_how_often", "def no_test")
    )
    session = project.run_apart("-n1", "-x", plugins=("llmperf", "xdist"))
    assert session.exit != 0
    assert iterations(session) == {"test_sector": 30, "test_general": 10}


def test_processes_share_a_mix(project):
    project.test(TWO.replace("def test_how_often", "def no_test"))
    session = project.run("--llm-processes=2", "--llm-gate=off")
    assert session.outcomes() == {"passed": 2}
    assert iterations(session) == {"test_sector": 30, "test_general": 10}
    assert {one["load"]["processes"] for one in session.report["scenarios"]} == {2}
    assert "requests meanwhile" not in session.text  # that the server is shared: with nobody


def test_an_async_plugin_runs_the_mix_in_its_loop(project):
    project.test(TWO.replace("@llm_load(mix", "@pytest.mark.asyncio\n@llm_load(mix"))
    session = project.run(
        "--llm-gate=off",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
        plugins=("llmperf", "pytest_asyncio.plugin"),
    )
    assert session.outcomes() == {"passed": 3}
    assert iterations(session) == {"test_sector": 30, "test_general": 10}


def test_both_arms_share_a_mix(project):
    project.test(TWO.replace("def test_how_often", "def no_test"))
    session = project.run("--llm-ab=mock")
    assert session.scenario("test_general")["compared_with"][0]["series"]["latency_s"]


MEMBER = "@llm_load(mix='m', users=2, iterations=4)\ndef test_{}(llm{}):\n    llm.chat('x')\n\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            MEMBER.format("a", "") + MEMBER.format("b", "").replace("users=2", "users=3"),
            "another profile than at test_project.py:5: users is 3 here and 2 there",
        ),
        (MEMBER.format("a", "") + MEMBER.format("b", ", tmp_path"), "'tmp_path' is set up for one test"),
        (MEMBER.format("a", ", request"), "'request' is set up for one test"),
        (
            "@pytest.fixture(autouse=True)\ndef mine():\n    pass\n" + MEMBER.format("a", ""),
            "'mine' is set up",
        ),
        (
            "@pytest.fixture(params=[1, 2], scope='session')\ndef mine(request):\n    pass\n"
            + MEMBER.format("a", ", mine"),
            "'mine' has one of its params at a time",
        ),
        (
            "@pytest.fixture(scope='class')\ndef mine():\n    pass\n"
            + MEMBER.format("a", "")
            + "class TestIt:\n    @llm_load(mix='m')\n    def test_b(self, llm, mine):\n        pass\n",
            "'mine' is set up for one class, and test_project.py:8 is in another",
        ),
    ],
)
def test_members_that_cannot_run_together_are_a_collection_error(project, text, said):
    project.test(HEAD + text)
    session = project.run()
    assert session.outcomes() == {"errors": 1}
    assert "mix 'm':" in session.text
    assert said in " ".join(session.text.split())


def test_a_fixture_that_one_module_has_alone_is_a_collection_error(project):
    project.test(HEAD + MEMBER.format("a", ""), name="test_a.py")
    project.test(
        f"{HEAD}@pytest.fixture(scope='session')\ndef mine():\n    pass\n" + MEMBER.format("b", ", mine"),
        name="test_b.py",
    )
    assert "is in it too, and does not see this 'mine'" in " ".join(project.run().text.split())


def test_a_mix_without_a_profile_fails_with_the_reason(project):
    project.test(f"{HEAD}@llm_load(mix='m')\ndef test_it(llm):\n    pass\n")
    session = project.run()
    assert session.outcomes() == {"failed": 1}
    assert "mix 'm': no test that was collected gives its profile" in session.text
    assert "During handling" not in session.text
