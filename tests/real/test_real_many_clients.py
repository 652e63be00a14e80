"""Every client that people use, on servers that we did not write, with the scenarios that the mock has too.

LangChain and LiteLLM need an environment of their own, see docs/how-to/real-servers.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sessions import run

pytestmark = pytest.mark.real

EVERY_CLIENT = Path(__file__).parents[1] / "data" / "every_client.py"
ALL = os.environ.get("LLMPERF_CLIENTS") == "all"
WAYS = [
    "llm",
    "openai",
    "openai_async",
    "openai_async_transport",
    "langchain",
    "langchain_transport",
    "litellm",
    "litellm_async",
]
TOKENS = 16  #: the untaught model goes on to the last one
#: The same as on the mock: one limit of the scenario holds, the other one is broken.
VERDICT = (
    "failed",
    {"latency": "passed", "output_tokens": "failed", "success_rate": "passed", "pass_rate": "passed"},
)


def measured(server, folder, *options, tokens=TOKENS, **environment):
    """The scenarios of a session against *server*, by name."""
    tests = EVERY_CLIENT.read_text("utf-8")
    return run(server, folder, tests, *options, TOKENS=str(tokens), **environment).scenarios


@pytest.fixture(scope="module")
def scenarios(server, tmp_path_factory):
    found = measured(server, tmp_path_factory.mktemp(server.name))
    assert len(found) == 2 * len(WAYS) or not ALL
    return found


def test_every_client_counts_the_same_tokens_on_a_real_server(scenarios):
    counts = {
        name: (one["tokens"]["input"], one["tokens"]["output"], one["tokens"]["sources"])
        for name, one in scenarios.items()
    }
    assert set(map(str, counts.values())) == {str(counts["test_app[by_llm-stream]"])}, counts
    assert counts["test_app[by_llm-stream]"][1:] == (3 * TOKENS, ["server"])


def test_every_client_has_its_times_on_a_real_server(scenarios):
    for name, one in scenarios.items():
        assert (one["requests"]["sent"], one["requests"]["failed"]) == (3, 0), name
        assert len(one["series"]["latency_s"]) == 3, name
        assert ("ttft_s" in one["series"]) == ("stream" in name), name


def test_every_client_gives_the_same_verdict_on_a_real_server(scenarios):
    for name, one in scenarios.items():
        checks = {check["metric"]: check["outcome"] for check in one["checks"] if check["kind"] == "limit"}
        assert (one["outcome"], checks) == VERDICT, name


@pytest.mark.parametrize("way", WAYS)
def test_a_server_killed_in_the_middle_of_a_stream_is_a_cut_through_every_client(
    doomed_server, tmp_path, way
):
    group = str(doomed_server.process.pid)
    if not (ALL or way.startswith(("llm", "openai"))):
        pytest.skip("its package is in an environment of its own, see docs/how-to/real-servers.md")
    name = f"test_app[by_{way}-stream]"
    found = measured(doomed_server, tmp_path, f"test_project.py::{name}", tokens=3000, DOOMED=group)
    one = found[name]
    assert doomed_server.process.wait(5) == -9
    assert one["requests"]["sent"] == one["requests"]["failed"] == 1
    assert [failure["kind"] for failure in one["requests"]["failures"]] == ["cut"]
    assert not one["series"].get("latency_s")
    assert one["outcome"] == "failed"
    assert {check["metric"] for check in one["checks"] if check["outcome"] == "failed"} >= {"success_rate"}
