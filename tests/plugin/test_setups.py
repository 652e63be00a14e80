"""Several models or backends in one session: a scenario of its own for each."""

from __future__ import annotations

import json

import pytest

TEST = """
@llm_slo(p95_ms=60000, warmup=0, iterations=2, max_iterations=2, gate=[])
def test_router(llm):
    llm.chat("merhaba")
"""
SPLIT = """
version: 1
backends:
  single: {kind: mock, model: 3B}
  split: {kind: mock, model: 3B, models: {chat: 8B}}
roles: {router: {temperature: 0}, chat: {temperature: 1}}
prices: {3B: {input_per_million_usd: 1}, 8B: {input_per_million_usd: 5}}
"""
ROLES = """
@llm_slo(p95_ms=60000, warmup=0, iterations=2, max_iterations=2, gate=[], role="router")
def test_router(llm):
    llm.chat("merhaba")

@llm_slo(p95_ms=60000, warmup=0, iterations=2, max_iterations=2, gate=[], role="chat")
def test_chat(llm):
    llm.chat("merhaba")
"""
TWO = ("--llm-model=3B", "--llm-model=8B")


def models(session) -> dict[str, str]:
    return {each["name"]: each["model"] for each in session.report["scenarios"]}


def test_every_scenario_runs_with_every_model(project):
    project.test(TEST)
    assert models(project.run(*TWO)) == {"test_router[3B]": "3B", "test_router[8B]": "8B"}


def test_one_model_leaves_node_ids_as_they_are(project):
    project.test(TEST)
    assert models(project.run("--llm-model=3B")) == {"test_router": "3B"}


def test_the_model_comes_behind_the_test_s_own_parameters(project):
    project.test('@pytest.mark.parametrize("language", ["tr"])' + TEST.replace("(llm)", "(llm, language)"))
    session = project.run(*TWO)
    assert list(models(session)) == ["test_router[tr-3B]", "test_router[tr-8B]"]


def test_scenarios_of_one_model_run_together(project):
    """A server that swaps models does so once."""
    project.test(TEST + TEST.replace("test_router", "test_chat"))
    assert list(models(project.run(*TWO))) == [
        "test_router[3B]",
        "test_chat[3B]",
        "test_router[8B]",
        "test_chat[8B]",
    ]


def test_ordinary_tests_and_scenarios_without_a_model_run_once(project):
    project.test(
        """
        def test_plain(llm):
            assert llm.model == "3B"

        @llm_slo(task_p95_ms=60000, warmup=0, iterations=2, max_iterations=2, gate=[])
        def test_alone():
            pass
        """
    )
    session = project.run(*TWO)
    session.result.assert_outcomes(passed=2)


def test_a_pooled_scenario_is_pooled_per_model(project):
    pooled = TEST.replace("p95_ms", 'scenario="frontdoor", p95_ms')
    project.test(pooled + pooled.replace("test_router", "test_chat"))
    scenarios = project.run(*TWO).report["scenarios"]
    assert [(each["id"], each["requests"]["sent"]) for each in scenarios] == [
        ("frontdoor[3B]", 4),
        ("frontdoor[8B]", 4),
    ]


def test_a_baseline_belongs_to_its_model(project):
    project.test(TEST)
    project.run(*TWO, "--save-baseline", "--llm-iterations=3")
    stored = [
        json.loads(path.read_text("utf-8")) for path in project.path.glob(".llmperf/baselines/*/*/*.json")
    ]
    assert sorted((run["scenario"].rpartition("::")[2], run["facts"]["model"]) for run in stored) == [
        ("test_router[3B]", "3B"),
        ("test_router[8B]", "8B"),
    ]


def test_patterns_of_slo_yaml_mean_the_test_on_every_model(project):
    project.write("slo.yaml", 'version: 1\nscenarios: {"*::test_router": {p50_ms: 0.0001}}\n')
    project.test(TEST)
    assert [each["outcome"] for each in project.run(*TWO).report["scenarios"]] == ["failed", "failed"]


def test_a_role_has_the_model_that_the_backend_gives_it(project):
    project.write("slo.yaml", SPLIT)
    project.test(ROLES)
    assert models(project.run("--llm-backend=split")) == {"test_router": "3B", "test_chat": "8B"}


def test_a_role_may_name_its_model_itself(project):
    project.write("slo.yaml", "version: 1\nroles: {router: {model: 7B}, chat: {temperature: 1}}\n")
    project.test(ROLES)
    assert models(project.run())["test_router"] == "7B"


def test_a_model_on_the_command_line_wins_over_every_map(project):
    project.write("slo.yaml", SPLIT)
    project.test(ROLES)
    assert set(models(project.run("--llm-backend=split", "--llm-model=1B")).values()) == {"1B"}


def test_named_set_ups_are_compared_in_one_session(project):
    project.write("slo.yaml", SPLIT)
    project.test(ROLES)
    session = project.run("--llm-backend=single", "--llm-backend=split")
    assert models(session) == {
        "test_router[single]": "3B",
        "test_chat[single]": "3B",
        "test_router[split]": "3B",
        "test_chat[split]": "8B",
    }


def test_each_model_costs_its_own_price(project):
    project.write("slo.yaml", SPLIT)
    project.test(ROLES)
    scenarios = project.run("--llm-backend=split").report["scenarios"]
    router, chat = (each["series"]["cost_usd"][0] for each in scenarios)
    assert chat == pytest.approx(5 * router)


def test_backends_and_models_are_crossed(project):
    project.write("slo.yaml", SPLIT)
    project.test(TEST)
    session = project.run("--llm-backend=single", "--llm-backend=split", *TWO)
    assert list(models(session)) == [
        f"test_router[{backend}-{model}]" for backend in ("single", "split") for model in ("3B", "8B")
    ]


def test_the_start_names_what_is_compared(project):
    project.test(TEST)
    assert "llm performance: 2 scenarios on 3B, 8B, about" in project.run(*TWO).text


def test_set_ups_run_under_workers(project):
    project.test(TEST)
    session = project.run(*TWO, "-n2", plugins=("llmperf", "xdist"))
    assert set(models(session)) == {"test_router[3B]", "test_router[8B]"}


def test_both_revisions_run_every_model(project, monkeypatch):
    """The other process is told of all of them, so that its node ids are the same."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p llmperf")
    project.test(TEST.replace(", gate=[]", ""))
    project.pytester.run("git", "init", "-q")
    project.pytester.run("git", "add", "-A")
    project.pytester.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    session = project.run_apart(*TWO, "--llm-ab=git:HEAD", "-v")
    origins = [each["compared_with"][0]["origin"] for each in session.report["scenarios"]]
    assert [origin.partition(" ")[0] for origin in origins] == ["git:HEAD", "git:HEAD"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--llm-model=a", "--llm-model=a"), "--llm-model: a is given twice"),
        (
            ("--llm-backend=mock", "--llm-backend=vllm", "--llm-url=http://127.0.0.1:1"),
            "--llm-url is the URL of one backend, and several are compared",
        ),
        (("--llm-backend=mock", "--llm-backend=vlm"), "--llm-backend: vlm is not a backend"),
    ],
)
def test_set_ups_that_cannot_be_are_usage_errors(project, arguments, message):
    project.test(TEST)
    assert message in project.run(*arguments).text


def test_the_session_ends_with_a_comparison_by_the_weights_of_slo_yaml(project):
    more = """
comparison: {weights: {cost_usd: 100}, keep_small: {p50_s: 60}}
references: {gpt-4: {p95_s: 60, source: somewhere}}
"""
    project.write("slo.yaml", SPLIT + more)
    project.test(ROLES)
    session = project.run("--llm-backend=single", "--llm-backend=split")
    assert session.report["comparison"]["winner"] == "single"  # whose chat costs a fifth
    assert "recommended: single" in session.text
    assert "split: keep small, it meets p50_s in every scenario" in session.text
    assert "versus gpt-4" in session.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("comparison: {weights: {p96: 1}}", 'comparison.weights.p96  is not a key here. Did you mean "p95"?'),
        ("comparison: {weights: {p95: -1}}", "comparison.weights.p95  -1 is out of range"),
        ("comparison: {keep_small: {p96_ms: 1}}", "comparison.keep_small.p96_ms  is not an SLO key"),
        ("references: {gpt-4: {p95_ms: fast}}", "references.gpt-4.p95_ms  'fast' is not a number"),
        ("backends: {split: {models: 8B}}", "backends.split.models  '8B' is not a mapping"),
    ],
)
def test_a_mistake_in_slo_yaml_is_named_with_its_place(project, text, message):
    project.write("slo.yaml", f"version: 1\n{text}\n")
    project.test(TEST)
    assert message in project.run().text
