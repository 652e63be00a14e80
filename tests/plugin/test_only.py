"""A session reduced to the scenarios that another one left undecided."""

from __future__ import annotations

from pytest_llmperf.github.measure import ONLY

SCENARIOS = """
    @llm_slo(iterations=3)
    def test_one(ask):
        ask(0.1)

    @llm_slo(iterations=3)
    def test_two(ask):
        ask(0.1)

    @pytest.mark.parametrize("n", [1, 2])
    @llm_slo(scenario="front", iterations=3)
    def test_pool(ask, n):
        ask(0.1)

    def test_ordinary():
        pass
"""


def test_scenarios_and_pools_that_are_named_are_left(project, monkeypatch):
    project.test(SCENARIOS)
    monkeypatch.setenv(ONLY, "test_project.py::test_two\nfront")
    session = project.run("-p", "pytest_llmperf.only", "--llm-gate=off")
    assert session.outcomes() == {"passed": 3, "deselected": 2}
    assert [one["name"] for one in session.report["scenarios"]] == ["test_two", "front"]


def test_a_pool_of_one_of_the_compared_setups_is_left(project, monkeypatch, one_mock):
    project.write("slo.yaml", "version: 1\nbackends: {other: {kind: mock, slo: {front: {p95_ms: 9000}}}}\n")
    project.test(
        '@llm_slo(scenario="front", iterations=2, warmup=0)\ndef test_it(llm):\n    llm.chat("hi")\n'
    )
    monkeypatch.setenv(ONLY, "front[other]")
    words = ["--llm-backend=mock", "--llm-backend=other", "--llm-max-iterations=2"]
    session = project.run("-p", "pytest_llmperf.only", *words)
    assert [one["name"] for one in session.report["scenarios"]] == ["front[other]"]
    limits = [check for check in session.scenario()["checks"] if check["kind"] == "limit"]
    assert 9.0 in [check["limit"] for check in limits if check["metric"] == "latency"]
