"""What a user wrote wrongly is said in one line that names the place, without our traceback."""

from __future__ import annotations

import re

import pytest

#: The mark's arguments, and what the error says.
WRONG = {
    "p95_mss=150": 'p95_mss is not an SLO key. Did you mean "p95_ms"?',
    "itterations=3": 'itterations is not an SLO key. Did you mean "iterations"?',
    "p95_ms='fast'": "p95_ms: 'fast' is not a number.",
    "p95_ms=True": "p95_ms: True is not a number.",
    "p95_ms=-1": "p95_ms: -1 is out of range; expected a number above 0.",
    "p95_ms=float('nan')": "p95_ms: nan is out of range; expected a number above 0.",
    "json_valid=98": "json_valid: 98 is out of range; expected a share from 0 to 1",
    "iterations=0": "iterations: 0 is not a whole number from 1",
    "iterations=2.5": "iterations: 2.5 is not a whole number from 1",
    "warmup=-1": "warmup: -1 is not a whole number from 0",
    "max_regression=0": "max_regression: 0 is out of range",
    "gate=['p95_mss']": 'p95_mss is not an SLO key. Did you mean "p95_ms"?',
    "gate=['mean_ms']": "'mean_ms' cannot be compared with a baseline",
    "cases=[]": "cases: [] is not a list with at least one case",
    "accuracy={'route': 95}": "accuracy: route: 95 is out of range",
    "role='routr'": "role: 'routr' is not under roles: in slo.yaml. Did you mean \"router\"?",
    "150": "takes named arguments only, such as p95_ms=150, not 150.",
}


@pytest.fixture
def project(project):
    """A project with a role."""
    project.write("slo.yaml", "version: 1\nroles: {router: {temperature: 0.0}}\n")
    return project


def clean(session) -> str:
    """The output, of which nothing is a traceback or an internal error."""
    text: str = session.text
    for word in ("Traceback", "INTERNALERROR", "pytest_llmperf/", "LlmPerfUsageError"):
        assert word not in text, text
    return text


@pytest.mark.parametrize("arguments", WRONG)
def test_a_wrong_mark_is_a_collection_error_that_names_the_place(project, arguments):
    path = project.test(f"\n\n@pytest.mark.llm_slo({arguments})\ndef test_router(ask):\n    ask()\n")
    line = path.read_text("utf-8").splitlines().index("def test_router(ask):")
    session = project.run()
    assert session.exit == 2
    assert session.outcomes() == {"errors": 1}
    text = clean(session)
    assert WRONG[arguments] in text
    assert re.search(rf"test_project\.py:({line}|{line + 1})  @llm_slo", text)


def test_a_wrong_mark_stops_nothing_but_its_own_module(project):
    project.test("@pytest.mark.llm_slo(p95_mss=1)\ndef test_router(ask):\n    ask()\n", "test_a.py")
    project.test("@llm_slo(p95_ms=150, iterations=5)\ndef test_router(ask):\n    ask()\n", "test_b.py")
    session = project.run("--continue-on-collection-errors")
    assert session.outcomes() == {"passed": 1, "errors": 1}
    assert session.n() == 5


def test_a_wrong_mark_of_a_parameter_or_a_hook_fails_its_test(project):
    project.test(
        """
        wrong = pytest.param(2, marks=pytest.mark.llm_slo(p95_mss=150))

        @pytest.mark.parametrize("number", [1, wrong])
        @llm_slo(p95_ms=150, iterations=5)
        def test_router(ask, number):
            ask()
        """
    )
    session = project.run()
    assert session.exit == 1
    assert session.outcomes() == {"passed": 1, "failed": 1}
    assert 'p95_mss is not an SLO key. Did you mean "p95_ms"?' in clean(session)


def test_a_wrong_mark_is_the_same_error_under_xdist(project):
    project.test("@pytest.mark.llm_slo(p95_mss=150)\ndef test_router(ask):\n    ask()\n")
    session = project.run_apart("-n2", plugins=("llmperf", "xdist"))
    assert session.exit not in (0, 3, 5)
    assert 'p95_mss is not an SLO key. Did you mean "p95_ms"?' in clean(session)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("roles:\n  chat: {slo: {p95_mss: 1}}\n", "slo.yaml:3  roles.chat.slo.p95_mss  is not an SLO key"),
        ("defaults:\n  iterations: many\n", "slo.yaml:3  defaults.iterations"),
        ("backends: [vllm]\n", "slo.yaml:2  backends"),
        ("rolls: {}\n", 'slo.yaml:2  rolls  is not a key here. Did you mean "roles"?'),
        ("roles: {a: 1\n", "is not YAML"),
        ("roles: {a: {}, a: {}}\n", "is there twice"),
    ],
)
def test_a_wrong_slo_yaml_is_named_with_its_line(project, text, error):
    project.write("slo.yaml", "version: 1\n" + text)
    for name in ("test_a.py", "test_b.py"):
        project.test("@llm_slo(p95_ms=150)\ndef test_router(ask):\n    ask()\n", name)
    session = project.run()
    assert session.exit == 4
    assert clean(session).count(error) == 1
    assert "no tests ran" in session.text


def test_slo_yaml_is_not_read_by_a_session_without_scenarios(project):
    project.write("slo.yaml", "nonsense: [")
    project.test("def test_plain():\n    pass\n")
    assert project.run().exit == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--llm-iterations=0", "--llm-iterations: '0': expected a whole number from 1"),
        ("--llm-gate=maybe", "--llm-gate: 'maybe': expected one of fail, plain, warn, off"),
        ("--llm-strict=unprovn", "--llm-strict: 'unprovn': 'unprovn' is not one of unproven, "),
        ("--llm-max-regression=0%", "--llm-max-regression: '0%': '0%' is out of range"),
        ("--llm-max-regression=ten", "--llm-max-regression: 'ten': expected a share such as 10% or 0.10"),
        ("--llm-max-time=soon", "--llm-max-time: 'soon'"),
        ("--llm-max-cost-usd=ten", "--llm-max-cost-usd: 'ten': expected an amount in USD above 0"),
        ("--llm-report=run.pdf", "--llm-report run.pdf"),
    ],
)
def test_a_wrong_option_is_a_usage_error_before_anything_runs(project, words, error):
    project.test("def test_plain():\n    pass\n")
    session = project.run(words)
    assert session.exit == 4
    assert error in clean(session)
    assert "collected" not in session.text


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("llm_gate = maybe", "llm_gate: 'maybe': expected one of"),
        ("llm_iterations = many", "llm_iterations: invalid literal for int() with base 10: 'many'"),
        ("llm_quick = perhaps", "llm_quick: invalid truth value 'perhaps'"),
    ],
)
def test_a_wrong_ini_key_is_named(project, said, error):
    project.write("pytest.ini", f"[pytest]\n{said}\n")
    project.test("def test_plain():\n    pass\n")
    session = project.run()
    assert session.exit == 4
    assert error in clean(session)


def test_a_wrong_environment_variable_is_named(project, monkeypatch):
    monkeypatch.setenv("LLMPERF_QUICK", "perhaps")
    project.test("def test_plain():\n    pass\n")
    session = project.run()
    assert session.exit == 4
    assert "LLMPERF_QUICK: 'perhaps': expected 1 or 0" in clean(session)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--llm-backend=vlm", '--llm-backend: vlm is not a backend. Did you mean "vllm"?'),
        ("--llm-slo-file=other.yaml", "other.yaml does not exist"),
    ],
)
def test_what_an_option_names_and_is_not_there_is_said(project, words, error):
    project.test("@llm_slo(p95_ms=150)\ndef test_router(ask):\n    ask()\n")
    session = project.run(words)
    assert session.exit == 4
    assert error in clean(session)


@pytest.mark.parametrize("plugins", [("llmperf",), ("llmperf", "xdist")])
def test_what_an_option_names_and_is_not_there_is_said_once(project, plugins):
    for name in ("test_a.py", "test_b.py"):
        project.test("@llm_slo(p95_ms=150)\ndef test_router(ask):\n    ask()\n", name)
    words = ["-n2"] if "xdist" in plugins else ["--collect-only"]
    session = project.run_apart("--llm-backend=vlm", *words, plugins=plugins)
    assert session.exit == 4
    assert clean(session).count("ERROR: --llm-backend: vlm is not a backend") == 1


def test_a_role_that_a_call_names_and_is_not_there_is_said(project):
    project.test(
        "@llm_slo(p95_ms=150, iterations=3)\ndef test_router(llm):\n    llm.chat('a', role='routr')\n"
    )
    session = project.run()
    assert session.exit == 1
    assert "'routr' is not under roles: in slo.yaml. Did you mean \"router\"?" in session.text
