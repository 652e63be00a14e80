"""The example of the README against servers that we did not write, on a model that knows nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS = ("test_router", "test_orchestrator", "test_chat")
#: What a server writes in its log for every request that it has answered.
ANSWERED = {
    "transformers": "POST /v1/chat/completions",
    "vllm": "POST /v1/chat/completions",
    "llama": "release: id",
}
EASY = """
from pytest_llmperf import llm_slo

@llm_slo(p95_ms=60_000, ttft_p95_ms=60_000)
def test_sync(llm):
    assert 0 < llm.chat("merhaba", max_tokens=8).tokens.output <= 8

@llm_slo(p95_ms=60_000, tokens_per_s=0.01)
async def test_async(async_llm):
    assert (await async_llm.chat("merhaba", max_tokens=8)).text
"""
ENFORCES_SCHEMA = {"transformers": False, "vllm": True, "llama": True}


def start_example(server, report, *options):
    command = [sys.executable, "-m", "pytest", "examples/assistant/test_assistant.py"]
    command += ["-p", "no:cacheprovider", "--llm-backend=vllm", "--llm-url", server.url]
    command += ["--llm-model", server.model]
    return subprocess.Popen(
        [*command, "--llm-report", str(report), *options],
        cwd=REPOSITORY,
        env=os.environ | {"COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcome_of(process, report, *, within_s):
    try:
        output, _ = process.communicate(timeout=within_s)
    finally:
        process.kill()
    assert process.returncode == 1, output  # 3 would be an internal error, 0 a gate that lets all through
    assert "INTERNALERROR" not in output
    run = json.loads(report.read_text(encoding="utf-8"))
    return output, {scenario["name"]: scenario for scenario in run["scenarios"]}


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    """Output and report of the whole example."""
    report = tmp_path_factory.mktemp(server.name) / "run.json"
    return outcome_of(start_example(server, report), report, within_s=900)


def test_every_scenario_is_measured_on_the_real_server(finished):
    _, scenarios = finished
    assert tuple(scenarios) == SCENARIOS
    for scenario in scenarios.values():
        assert scenario["requests"]["failed"] == 0
        assert scenario["requests"]["sent"] >= 30
        assert len(scenario["series"]["ttft_s"]) == scenario["requests"]["sent"]
        pairs = zip(scenario["series"]["ttft_s"], scenario["series"]["latency_s"], strict=True)
        assert all(0 < ttft_s <= latency_s for ttft_s, latency_s in pairs)


def test_the_table_has_a_row_for_every_scenario(finished):
    output, scenarios = finished
    table = output.partition("= llm performance =")[2]
    for name in SCENARIOS:
        row = re.search(rf"^{name} +(\d+) .* (\w+)$", table, re.MULTILINE)
        assert row, table
        assert int(row[1]) == scenarios[name]["requests"]["sent"]
        assert row[2] == scenarios[name]["outcome"]


def test_tokens_are_the_servers_own(finished):
    output, _ = finished
    assert "tokens counted by: server\n" in output


def test_a_model_that_knows_nothing_fails_every_scenario(finished):
    _, scenarios = finished
    assert {name: scenario["outcome"] for name, scenario in scenarios.items()} == dict.fromkeys(
        SCENARIOS, "failed"
    )


def test_json_is_valid_only_where_the_server_enforces_the_schema(finished, server):
    _, scenarios = finished
    [check] = [check for check in scenarios["test_router"]["checks"] if check["metric"] == "json_valid"]
    enforced = ENFORCES_SCHEMA[server.name]
    assert check["observed"] == (1.0 if enforced else 0.0)
    assert check["outcome"] == ("passed" if enforced else "failed")


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_limits_that_hold_pass(server, tmp_path, options):
    (tmp_path / "test_two.py").write_text(EASY, encoding="utf-8")
    report = tmp_path / "run.json"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--llm-iterations", "10"]
    command += ["--llm-backend=openai", "--llm-url", server.url, "--llm-model", server.model]
    done = subprocess.run(
        [*command, "--llm-report", str(report), *options],
        cwd=tmp_path,
        env=os.environ | {"OPENAI_API_KEY": "unused"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    run = json.loads(report.read_text(encoding="utf-8"))
    assert run["outcome"] == "no_baseline"
    assert [scenario["requests"]["failed"] for scenario in run["scenarios"]] == [0, 0]


def test_a_server_killed_during_a_run_ends_it_soon_with_its_failures_counted_by_kind(doomed_server, tmp_path):
    report = tmp_path / "run.json"
    process = start_example(doomed_server, report)
    wait_for_requests(doomed_server, 20)
    doomed_server.kill()
    output, scenarios = outcome_of(process, report, within_s=120)
    failed = sum(scenario["requests"]["failed"] for scenario in scenarios.values())
    assert failed > 0
    assert "connect" in output
    for scenario in scenarios.values():
        latencies = scenario["series"].get("latency_s", [])
        assert len(latencies) == scenario["requests"]["sent"] - scenario["requests"]["failed"]


def wait_for_requests(server, number):
    until_s = time.monotonic() + 60
    while server.log.read_text(encoding="utf-8", errors="replace").count(ANSWERED[server.name]) < number:
        assert time.monotonic() < until_s, "no requests came"
        time.sleep(0.02)
