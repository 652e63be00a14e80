"""What requests cost, and budgets that stop a session before they are exceeded."""

from __future__ import annotations

import pytest

LATENCY = "{ttft: 'constant(1ms)', itl: 'constant(0ms)'}"
MOCK = f"mock: {{latency: {LATENCY}, replies: [{{contains: a, text: bir iki}}]}}\n"

#: A cent for a token, so that a request costs some cents.
DEAR = "prices: {mock: {input_per_million_usd: 10000, output_per_million_usd: 10000}}\n"

TEST = """
@llm_slo(p95_ms=5000, iterations=20, max_iterations=20, warmup=2)
def test_chat(llm):
    llm.chat("a b c d")
"""


@pytest.fixture
def priced(project):
    project.write("slo.yaml", MOCK + DEAR)
    project.test(TEST)
    return project


def cost_of_one(session):
    return session.scenario()["cost"]["per_request_usd"]


def test_costs_are_told_per_request_per_tokens_per_scenario_and_for_the_session(priced):
    session = priced.run("-v")
    cost = session.scenario()["cost"]
    output = session.scenario()["tokens"]["output"]
    assert cost["measured_usd"] == pytest.approx(20 * cost["per_request_usd"])
    assert cost["per_1000_output_tokens_usd"] == pytest.approx(1000 * cost["measured_usd"] / output)
    assert cost["spent_usd"] == pytest.approx(22 * cost["per_request_usd"])  # with the warm-up
    assert "for 20 priced requests" in session.line("spent in all, warm-up included")
    assert "a request" in session.line("test_chat  cost:")


def test_hardware_by_the_hour_costs_the_time_it_was_busy(project):
    project.write("slo.yaml", MOCK + "prices: {mock: {gpu_hour_usd: 3600}}\n")
    project.test(TEST)
    scenario = project.run().scenario()
    assert scenario["cost"]["measured_usd"] == pytest.approx(sum(scenario["series"]["latency_s"]), rel=1e-3)


def test_a_scenario_without_a_price_costs_nothing_that_is_known(project):
    project.test(TEST)
    session = project.run()
    assert set(session.scenario()["cost"].values()) == {None}
    assert "cost:" not in session.text


def test_a_scenarios_budget_stops_it_before_it_is_exceeded(priced):
    one = cost_of_one(priced.run())
    limit = 9.5 * one
    priced.test(TEST.replace("warmup=2", f"warmup=2, max_cost_usd={limit!r}"))
    session = priced.run()
    scenario = session.scenario()
    assert scenario["cost"]["spent_usd"] <= limit
    assert session.n() == 7  # and two to warm up
    assert scenario["outcome"] == "inconclusive"
    assert "stopped after 7 iterations: max_cost_usd of" in scenario["reason"]
    assert session.exit == 0
    assert priced.run("--llm-strict=inconclusive").exit == 1


def test_the_sessions_budget_is_shared_by_its_scenarios_and_nothing_is_sent_after_it(priced):
    one = cost_of_one(priced.run())
    priced.test(TEST + TEST.replace("test_chat", "test_later") + TEST.replace("test_chat", "test_last"))
    session = priced.run(f"--llm-max-cost-usd={30.5 * one}")
    assert [session.n(name) for name in ("test_chat", "test_later")] == [20, 6]
    last = session.scenario("test_last")
    assert last["requests"]["sent"] == 0
    assert last["outcome"] == "inconclusive"
    assert "the session's max_cost_usd" in last["reason"]
    assert sum(one["cost"]["spent_usd"] or 0 for one in session.report["scenarios"]) <= 30.5 * one


def test_slo_yaml_can_hold_the_sessions_budget_and_the_option_wins(priced):
    priced.write("slo.yaml", MOCK + DEAR + "max_cost_usd: 0.0000001\n")
    assert priced.run().scenario()["iterations"] == 0  # after the first of the warm-up
    assert priced.run("--llm-max-cost-usd=1000").scenario()["outcome"] == "no_baseline"


def test_a_budget_without_a_price_is_a_usage_error(project):
    project.test(TEST)
    session = project.run("--llm-max-cost-usd=1")
    assert session.exit == 1
    assert "max_cost_usd: mock has no price. Give it one under prices: in slo.yaml" in session.text


def test_a_budget_that_is_no_amount_is_a_usage_error(project):
    project.test(TEST)
    result = project.pytester.runpytest_inprocess("-p", "llmperf", "--llm-max-cost-usd=0")
    result.stderr.fnmatch_lines("*--llm-max-cost-usd: '0': expected an amount in USD above 0*")


def test_a_pooled_scenario_that_ran_out_of_money_is_inconclusive(priced):
    one = cost_of_one(priced.run())
    priced.test(
        f"""
        @pytest.mark.parametrize("word", ["x", "y"])
        @llm_slo(p95_ms=5000, iterations=10, warmup=0, scenario="pool", max_cost_usd={5.5 * one!r})
        def test_chat(llm, word):
            llm.chat("a b c d")
        """
    )
    assert priced.run().scenario("pool")["outcome"] == "inconclusive"


def test_what_a_budget_cut_short_is_no_baseline(priced):
    one = cost_of_one(priced.run())
    session = priced.run("--save-baseline", "--llm-iterations=20", f"--llm-max-cost-usd={9.5 * one}")
    assert "test_chat: not saved" in session.text
    assert not (priced.path / ".llmperf").exists()


def test_workers_share_the_sessions_budget(priced):
    one = cost_of_one(priced.run())
    priced.test(TEST + TEST.replace("test_chat", "test_later"))
    session = priced.run_apart("-n2", f"--llm-max-cost-usd={30.5 * one}", plugins=("xdist", "llmperf"))
    spent = [scenario["cost"]["spent_usd"] or 0 for scenario in session.report["scenarios"]]
    assert 0 < sum(spent) <= 30.5 * one, session.text
    assert sorted(session.n(name) for name in ("test_chat", "test_later")) == [6, 20]


def test_the_other_arm_spends_the_same_money(priced):
    one = cost_of_one(priced.run())
    session = priced.run("--llm-cache=both", f"--llm-max-cost-usd={30.5 * one}", "--llm-iterations=20")
    scenario = session.scenario()
    assert scenario["iterations"] < 20
    assert scenario["cost"]["spent_usd"] <= 30.5 * one
    assert "would be exceeded" in scenario["reason"]


def test_reports_show_what_it_cost(priced):
    priced.run("--llm-report=r.md", "--llm-report=r.html")
    assert "per 1 000 output tokens" in (priced.path / "r.md").read_text("utf-8")
    assert "per 1 000 output tokens" in (priced.path / "r.html").read_text("utf-8")


def test_a_budget_stops_load_before_it_is_exceeded(priced):
    one = cost_of_one(priced.run())
    priced.test(
        f"""
        from pytest_llmperf import llm_load

        @llm_load(users=3, iterations=40)
        @llm_slo(p95_ms=5000, warmup=0, max_cost_usd={30.5 * one!r})
        def test_chat(llm):
            llm.chat("a b c d")
        """
    )
    scenario = priced.run().scenario()
    assert 10 * one < scenario["cost"]["spent_usd"] <= 30.5 * one
    assert scenario["outcome"] == "inconclusive"
    assert "would be exceeded" in scenario["reason"]
