"""The first scenario: an ordinary test, which pytest-llmperf repeats, measures and judges."""

from pytest_llmperf import llm_slo


@llm_slo(role="assistant")  # its limits stand in slo.yaml
def test_greeting(llm):
    reply = llm.chat("hello", system="You are a helpful assistant.")
    assert "help" in reply.text
