"""The same scenario gives the same numbers and verdicts through every client that people use.

LangChain and LiteLLM are in an environment of their own (extra ``clients``), where LLMPERF_CLIENTS=all makes
their absence an error; elsewhere the others are tried.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

EVERY_CLIENT = Path(__file__).parents[1] / "data" / "every_client.py"

#: How many scenarios there are at least: LangChain and LiteLLM need an environment of their own.
EXPECTED = 16 if os.environ.get("LLMPERF_CLIENTS") == "all" else 2

#: The same as on real servers: one limit of the scenario holds, the other one is broken.
VERDICT = (
    "failed",
    {"latency": "passed", "output_tokens": "failed", "success_rate": "passed", "pass_rate": "passed"},
)


@pytest.fixture
def scenarios(project, monkeypatch):
    """Run the scenario through every client, with the fault that is named; what was measured, by test."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network
    monkeypatch.setenv("LITELLM_LOG", "ERROR")
    monkeypatch.setenv("TOKENS", "16")

    def scenarios(fault=""):
        project.write("slo.yaml", 'version: 1\nmock: {latency: {ttft: "0", itl: "0"}}\n')
        project.write("test_project.py", EVERY_CLIENT.read_text("utf-8"))
        monkeypatch.setenv("FAULT", fault)
        session = project.run_apart("--llm-gate=warn", timeout_s=300)
        assert session.report is not None, session.text
        found = {one["name"]: one for one in session.report["scenarios"]}
        assert len(found) >= EXPECTED, session.text
        return found

    return scenarios


def test_every_client_counts_the_same_tokens_and_gets_the_same_verdict(scenarios):
    for name, one in scenarios().items():
        counted, requests = one["tokens"], one["requests"]
        assert (requests["sent"], requests["failed"]) == (3, 0), name
        assert (counted["input"], counted["output"], counted["sources"]) == (6, 12, ["server"]), name
        assert ("ttft_s" in one["series"]) == ("stream" in name), name
        checks = {check["metric"]: check["outcome"] for check in one["checks"] if check["kind"] == "limit"}
        assert (one["outcome"], checks) == VERDICT, name


@pytest.mark.parametrize(("fault", "kind"), [("cut", "cut"), ("status", "http_status")])
def test_every_client_gives_a_failure_the_same_kind_and_verdict(scenarios, fault, kind):
    for name, one in scenarios(fault).items():
        if fault == "cut" and "plain" in name:
            continue  # the fault is one of streams
        assert {failure["kind"] for failure in one["requests"]["failures"]} == {kind}, name
        assert one["requests"]["failed"] == one["requests"]["sent"] == 3, name
        assert one["outcome"] == "failed", name
        broken = {check["metric"] for check in one["checks"] if check["outcome"] == "failed"}
        assert broken == {"success_rate"}, name
