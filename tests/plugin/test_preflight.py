"""A server that nobody can reach ends the session before the first scenario."""

from __future__ import annotations

import socket

import pytest

SCENARIOS = "".join(
    f"@llm_slo(p95_ms=150)\ndef test_{name}(llm):\n    llm.chat('merhaba')\n\n" for name in "abcdef"
)


@pytest.fixture
def closed_port():
    """A port of this machine on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def unreachable(session) -> list[str]:
    """The lines that say so."""
    text = session.text
    assert "Traceback" not in text
    assert "outcomes.Exit" not in text
    assert "INTERNALERROR" not in text
    return [line for line in text.splitlines() if "backend vllm:" in line]


def test_an_unreachable_server_is_said_in_one_line(project, closed_port):
    project.test(SCENARIOS)
    session = project.run("--llm-backend=vllm", f"--llm-url=http://127.0.0.1:{closed_port}")
    (line,) = unreachable(session)
    assert line.startswith(f"ERROR: backend vllm: http://127.0.0.1:{closed_port}")
    assert session.exit == 4
    assert "no tests ran" in session.text


def test_an_unreachable_server_is_said_in_one_line_under_xdist(project, closed_port):
    project.test(SCENARIOS)
    session = project.run_apart(
        "-n2",
        "--llm-backend=vllm",
        f"--llm-url=http://127.0.0.1:{closed_port}",
        plugins=("llmperf", "xdist"),
    )
    assert len(unreachable(session)) == 1
    assert session.exit == 4
    assert "passed" not in session.text
    assert "failed" not in session.text


def test_a_password_in_the_url_is_not_shown(project, closed_port):
    project.test(SCENARIOS)
    session = project.run("--llm-backend=vllm", f"--llm-url=http://me:geheim@127.0.0.1:{closed_port}/v1")
    assert unreachable(session)
    assert "geheim" not in session.text


def test_nobody_is_asked_when_no_selected_scenario_asks_the_backend(project, closed_port):
    project.test(SCENARIOS + "@llm_slo(p95_ms=150, iterations=3)\ndef test_own(ask):\n    ask()\n")
    session = project.run(
        "--llm-backend=vllm", f"--llm-url=http://127.0.0.1:{closed_port}", "-k", "own", "--llm-gate=fail"
    )
    assert session.exit == 0
    assert session.n() == 3


def test_collect_only_asks_nobody(project, closed_port):
    project.test(SCENARIOS)
    session = project.run("--llm-backend=vllm", f"--llm-url=http://127.0.0.1:{closed_port}", "--collect-only")
    assert session.exit == 0


def test_a_key_that_is_not_set_is_said(project, closed_port, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    project.write(
        "slo.yaml",
        f"""
        version: 1
        backends: {{prod: {{kind: openai, url: "http://127.0.0.1:{closed_port}", api_key_env: NO_SUCH_KEY}}}}
        """,
    )
    project.test(SCENARIOS)
    session = project.run("--llm-backend=prod")
    assert "the environment variable NO_SUCH_KEY is not set" in session.text
    assert session.exit == 4
