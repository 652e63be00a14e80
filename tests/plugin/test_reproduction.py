"""What a run says about how it was asked for, so that it can be asked for again."""

from __future__ import annotations

SCENARIO = """
    @llm_slo()
    def test_one(ask):
        ask(0.1)
"""


def asked(session) -> str | None:
    return session.report["environment"].get("options")


def test_options_of_the_command_line_and_the_environment_are_recorded(project, monkeypatch):
    project.test(SCENARIO)
    monkeypatch.setenv("LLMPERF_MAX_REGRESSION", "5%")
    session = project.run("--llm-iterations=12", "--llm-seed=7", "--llm-histogram", "--llm-gate=off")
    assert asked(session) == "--llm-iterations=12 --llm-max-regression=5% --llm-gate=off --llm-seed=7"


def test_the_ini_files_options_are_the_projects_own(project):
    project.test(SCENARIO)
    project.write("pytest.ini", "[pytest]\nllm_iterations = 12\nllm_gate = off\n")
    assert asked(project.run()) is None


def test_no_password_of_a_url_is_recorded(project):
    project.test(SCENARIO)
    session = project.run(
        "--llm-gate=off", "--llm-ab=http://me:s3cret-word@127.0.0.1:9/v1?api_key=hunter22", "--llm-quick"
    )
    text = str(session.report) + session.text
    assert "s3cret-word" not in text
    assert "hunter22" not in text
