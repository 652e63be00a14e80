"""What a person reads: a section that fits, one line with -q, progress, prompts and replies."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

FAST = 'version: 1\nmock: {latency: {ttft: "constant(1ms)", itl: "constant(0ms)"}}\n'

MIXED = """
@llm_slo(p95_ms=150, warmup=0, iterations=30, max_iterations=30)
def test_a_scenario_with_a_name_that_is_longer_than_any_table_likes(ask, noisy):
    ask(noisy(0.1), json_valid=True)

@llm_slo(p95_ms=150, warmup=0, iterations=30, max_iterations=30)
def test_slow(ask, noisy):
    ask(noisy(0.2))
"""


def section(session) -> list[str]:
    """The lines of our section."""
    lines = session.text.splitlines()
    start = next(index for index, line in enumerate(lines) if re.fullmatch(r"=+ llm performance =+", line))
    end = next(index for index, line in enumerate(lines) if index > start and line.startswith("="))
    return lines[start + 1 : end]


def test_the_table_fits_eighty_columns_and_has_a_row_per_scenario(project):
    project.test(MIXED)
    lines = section(project.run())
    start = next(index for index, line in enumerate(lines) if line.startswith("scenario"))
    table = lines[start : start + 3]  # the worst offenders stand above it
    assert all(len(line) <= 80 for line in table)
    assert table[0].startswith("scenario (ms)")
    assert table[0].endswith("verdict")
    assert table[1].startswith("test_a_scenario")
    assert table[1].endswith("no baseline")
    assert table[2].startswith("test_slow")
    assert table[2].endswith("failed")


def test_quiet_is_one_line(project):
    project.test(MIXED)
    session = project.run("-q", "--tb=no")
    line = session.line("llm performance: ")
    assert line.startswith("llm performance: 1 failed, 1 no baseline; test_slow  p95 ")
    assert "scenario (ms)" not in session.text


def test_verbose_tells_every_check(project):
    project.test(MIXED)
    session = project.run("-v")
    assert re.search(r"test_slow  success_rate 100 % . 100 % \(30 of 30", session.text)


def test_no_progress_is_shown_where_nobody_watches(project):
    project.test("@llm_slo(p95_ms=900, warmup=0, iterations=3)\ndef test_router(ask):\n    ask()\n")
    assert "\x1b" not in project.run().text


def test_progress_is_shown_on_a_terminal_and_taken_away(project):
    project.test(
        """
        import time

        @llm_slo(p95_ms=900, warmup=0, iterations=8, max_iterations=8)
        def test_router(ask):
            time.sleep(0.2)
            ask()
        """
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "llmperf"],
        cwd=project.path,
        stdout=child,
        stderr=child,
        stdin=child,
        env=environment,
    )
    os.close(child)
    output = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:
            break
        if not part:
            break
        output += part
    os.close(parent)
    assert running.wait() == 0
    text = output.decode()
    assert re.search(r"\x1b7\x1b\[K test_router \d/8, \d+\.\d/s, .* left\x1b8", text)
    assert "\x1b7\x1b[K\x1b8" in text[text.rfind("/8, ") :]


def test_a_run_report_is_valid(project):
    import jsonschema

    from pytest_llmperf.reports import json as run_json

    project.test(MIXED)
    session = project.run()
    assert session.report["schema"] == run_json.SCHEMA
    assert session.report["outcome"] == "failed"
    assert {"id", "name", "backend", "model", "outcome", "checks", "series", "requests", "tokens"} <= set(
        session.scenario("test_slow")
    )
    (schema,) = Path(run_json.__file__).parents[1].rglob("run.schema.json")
    jsonschema.validate(session.report, json.loads(schema.read_text("utf-8")))


def test_a_report_goes_where_it_is_asked_for_and_says_so(project):
    project.test(MIXED)
    session = project.run("--llm-report=json=out/deep/first.txt")
    assert json.loads((project.path / "out/deep/first.txt").read_text("utf-8"))["scenarios"]
    assert "report written: out/deep/first.txt" in session.text


def test_a_report_that_cannot_be_written_fails_the_session_and_writes_the_others(project):
    project.test(MIXED.replace("150", "900"))
    project.write("taken", "")
    session = project.run("--llm-report=taken/run.json")
    assert session.exit == 3
    assert session.report is not None
    assert "taken/run.json was not written" in session.text


def test_prompts_and_replies_are_shown_on_request(project):
    project.write("slo.yaml", FAST[:-2] + ", replies: [{contains: [merhaba], text: Buyurun Efendim}]}\n")
    project.test(
        "@llm_slo(p95_ms=900, warmup=0, iterations=2)\ndef test_chat(llm):\n    llm.chat('merhaba dünya')\n"
    )
    session = project.run("--llm-show-replies")
    assert session.text.count("> merhaba dünya\n< Buyurun Efendim") == 2
    assert "Buyurun" not in project.run().text


SECRET = "sk-gizli-0123456789"


def test_secrets_are_in_no_output_report_baseline_or_error(project, monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    project.write("slo.yaml", FAST)
    project.test(
        """
        @llm_slo(p95_ms=900, warmup=0, iterations=3, max_iterations=3)
        def test_router(llm):
            llm.chat("merhaba")

        @llm_slo(p95_ms=900, warmup=0, iterations=3, max_iterations=3)
        def test_failing(llm):
            llm.chat("merhaba", nonsense={"model": 1}, model="no-such-model")

        @llm_slo(p95_ms=900, warmup=0, iterations=3, max_iterations=3)
        def test_raising(llm):
            llm.chat("merhaba")
            raise ValueError(repr(llm) + llm.url + repr(llm.__dict__))
        """
    )
    from pytest_llmperf.mock.process import start_mock

    server = start_mock({"latency": {"ttft": "constant(1ms)", "itl": "constant(0ms)"}})
    try:
        where = server.url.replace("http://", f"http://me:{SECRET}@")
        project.write(
            "slo.yaml",
            f'version: 1\nbackends: {{prod: {{kind: openai, url: "{where}", api_key_env: MY_KEY}}}}\n',
        )
        session = project.run("--llm-backend=prod", "-vv", "--showlocals", "--tb=long")
        project.run("--llm-backend=prod", "--save-baseline", "--llm-iterations=3")
    finally:
        server.stop()
    texts = [session.text]
    texts += [path.read_text("utf-8") for path in project.path.rglob("*.json")]
    assert session.exit == 1
    assert len(texts) >= 3
    assert not any(SECRET in text for text in texts)


def test_the_table_follows_its_header(project):
    project.test("@llm_slo(iterations=5, max_iterations=5)\ndef test_router(ask):\n    ask()\n")
    lines = project.run_apart().text.splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("scenario (ms)"))
    assert lines[header + 1].startswith("test_router")


def test_the_warm_up_is_kept_apart_for_the_plots(project):
    project.test(
        """
        import itertools

        @pytest.fixture(scope="module")
        def count():
            return itertools.count()

        @llm_slo(p95_ms=900, warmup=3, iterations=4, max_iterations=4)
        def test_router(ask, count):
            ask(0.5 if next(count) < 3 else 0.1)
        """
    )
    (scenario,) = project.run().report["scenarios"]
    assert scenario["warmup_latency_s"] == [0.5, 0.5, 0.5]
    assert set(scenario["series"]["latency_s"]) == {0.1}
