"""``--llm-otel`` in a session."""

from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

TEST = """
@llm_slo(p95_ms=900, warmup=0, iterations=5, max_iterations=5)
def test_router(ask):
    ask()
"""


def test_without_an_endpoint_the_session_does_not_begin(project, monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    project.test(TEST)
    session = project.run("--llm-otel")
    assert session.exit == 4
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is not set" in session.result.stderr.str()


def test_metrics_that_nobody_took_are_a_problem_and_the_other_reports_are_there(project, monkeypatch):
    from pytest_llmperf.core.errors import LlmPerfUsageError
    from pytest_llmperf.reports import otel

    def refuse(run, servers):
        raise LlmPerfUsageError("--llm-otel: nobody took the metrics")

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(otel, "export", refuse)
    project.test(TEST)
    session = project.run("--llm-otel")
    assert "problem: --llm-otel: nobody took the metrics" in session.text
    assert session.report["scenarios"][0]["name"] == "test_router"


def test_the_server_that_was_asked_is_told_and_nothing_else_of_its_url(project, monkeypatch):
    from pytest_llmperf.mock.process import start_mock
    from pytest_llmperf.reports import otel

    told = {}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(otel, "export", lambda _, servers: told.update(servers) or "sent")
    project.test(TEST.replace("ask()", 'llm.chat("merhaba")').replace("(ask)", "(llm)"))
    with start_mock({"latency": {"ttft": "constant(1ms)"}}) as server:
        project.run("--llm-otel", "--llm-backend=openai", f"--llm-url={server.url}")
    assert told == {"": server.url}
