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
