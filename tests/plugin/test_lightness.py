"""Plain pytest with the plugin installed: nothing heavy, nothing written, nothing started."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pytest_llmperf.core.load import LOAD_ARGUMENTS
from pytest_llmperf.core.metric import METRICS, Shape
from pytest_llmperf.core.slo import ARGUMENTS

#: What only a session with scenarios may import.
HEAVY = (
    "asyncio",
    "cattrs",
    "filelock",
    "httptools",
    "httpx",
    "jsonschema",
    "numpy",
    "psutil",
    "pynvml",
    "scipy",
    "yaml",
    "pytest_llmperf.ledger",
    "pytest_llmperf.mock",
    "pytest_llmperf.reports",
    "pytest_llmperf.rig",
    "pytest_llmperf.scenario",
    "pytest_llmperf.slo_yaml",
)


@pytest.fixture
def plain(project):
    """A project that has nothing to do with language models."""
    (project.path / "conftest.py").unlink()
    return project


def test_a_session_without_scenarios_imports_nothing_heavy(plain):
    plain.write(
        "test_plain.py",
        f"""
        import sys

        HEAVY = {HEAVY!r}

        def test_plain():
            pass

        def test_again(tmp_path):
            pass

        def test_modules():
            names = sys.modules
            assert [heavy for heavy in HEAVY if heavy in names] == []
        """,
    )
    result = plain.pytester.runpytest_subprocess("-p", "llmperf", timeout=60)
    result.assert_outcomes(passed=3)


def test_a_session_without_scenarios_writes_and_starts_nothing(plain):
    plain.write("test_plain.py", "def test_plain():\n    pass\n")
    before = sorted(path.name for path in plain.path.iterdir())
    audit = """
import sys
started = []
def watch(event, arguments):
    if event in ("subprocess.Popen", "socket.connect", "socket.bind", "os.posix_spawn", "os.fork"):
        started.append(event)
sys.addaudithook(watch)
import pytest
status = pytest.main(["-p", "llmperf", "-p", "no:cacheprovider", "-q"])
print("started:", started)
sys.exit(status)
"""
    result = subprocess.run(
        [sys.executable, "-B", "-c", audit], cwd=plain.path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "started: []" in result.stdout
    assert sorted(path.name for path in plain.path.iterdir()) == before


def test_a_session_without_scenarios_shows_nothing(plain):
    plain.write("test_plain.py", "def test_plain():\n    pass\n")
    session = plain.run("-v")
    assert session.report is None
    assert "llm" not in session.text.replace("plugins: llmperf", "").replace(str(plain.path), "")


def test_markers_explain_the_mark(plain):
    text = plain.run("--markers").text
    assert "@pytest.mark.llm_slo(p95_ms=150, json_valid=0.98, ...): measure this test again and again" in text
    named = {
        *ARGUMENTS,
        *LOAD_ARGUMENTS,
        *(name for name in METRICS if METRICS[name].shape is not Shape.TIME),
    }
    assert named <= set(re.findall(r"\w+", text))


def test_fixtures_explain_the_fixtures(plain):
    text = plain.run("--fixtures").text
    for name, words in {
        "llm": "The selected model backend (--llm-backend)",
        "async_llm": "The selected model backend, awaitable",
        "llm_mock": "The mock model server",
        "llm_case": "The running iteration's case",
        "llm_tokens": "A token counter",
    }.items():
        assert f"\n{name} -- " in text
        assert words in text


def test_help_explains_every_option_and_ini_key(plain):
    from pytest_llmperf.option_specs import SPECS, flag_of

    text = " ".join(plain.run("--help").text.split())
    assert "performance gating of LLM systems (pytest-llmperf):" in text
    assert "%%" not in text
    for name, spec in SPECS.items():
        assert flag_of(name) in text
        assert f"llm_{name} (" in text
        assert spec.help.replace("%%", "%").split(",")[0].split("(")[0].strip() in text


def test_with_the_plugin_switched_off_its_option_and_mark_are_gone(plain):
    """So --llm-gate=off is what the documentation names."""
    plain.write("test_plain.py", "def test_plain():\n    pass\n")
    result = plain.pytester.runpytest_inprocess("-p", "no:llmperf", "--llm-gate=off")
    assert result.ret == 4
