"""What a session stores, compares with, and refuses to touch."""

from __future__ import annotations

import http.server
import io
import json
import shutil
import threading
import zipfile

import pytest

SCENARIO = """
@llm_slo(p95_ms=900, warmup=0, iterations=30, max_iterations=30)
def test_{name}(ask, noisy):
    ask(noisy({median}){more})
"""


def write(project, median=0.1, *, name="router", more=""):
    project.test(SCENARIO.format(name=name, median=median, more=more), f"test_{name}.py")


def stored(project) -> list:
    """The files of the store, oldest first."""
    return sorted(project.path.glob(".llmperf/baselines/*/*/*.json"), key=lambda path: path.name)


@pytest.fixture
def saved(project):
    """A project with a baseline around 100 ms."""
    write(project)
    assert project.run("--save-baseline").exit == 0
    return project


def test_saving_says_where_and_takes_enough_samples(project):
    write(project)
    session = project.run("--save-baseline")
    (path,) = stored(project)
    assert "test_router: saved 200 iterations; " in session.text
    assert "baseline of 1 scenario in .llmperf/baselines" in session.text
    assert len(json.loads(path.read_text("utf-8"))["series"]["latency_s"]) == 200


@pytest.mark.parametrize(("sigma", "seen"), [(0.6, "only a p95 "), (4.0, "hardly any regression ")])
def test_a_baseline_that_will_show_little_says_so_when_it_is_saved(project, sigma, seen):
    write(project, f"0.01, {sigma}")
    session = project.run("--save-baseline")
    assert f"test_router: saved 200 iterations; the machine was noisy, and {seen}" in session.text
    assert "will be proven: save again when it is quiet, or compare with --llm-ab" in session.text


def test_the_number_of_iterations_of_the_command_line_is_saved(project):
    write(project)
    project.run("--save-baseline", "--llm-iterations=40")
    (path,) = stored(project)
    assert len(json.loads(path.read_text("utf-8"))["series"]["latency_s"]) == 40


def test_saving_again_replaces_what_was_stored(saved):
    (before,) = stored(saved)
    saved.run("--save-baseline")
    (after,) = stored(saved)
    assert before != after


def test_appending_keeps_what_was_stored(saved):
    (before,) = stored(saved)
    saved.run("--llm-append-baseline")
    assert len(stored(saved)) == 2
    assert before in stored(saved)
    assert saved.run().scenario()["outcome"] == "passed"


def test_a_session_that_only_compares_writes_nothing(saved):
    before = [(path, path.stat().st_mtime_ns) for path in stored(saved)]
    write(saved, 0.15)
    assert saved.run().exit == 1
    assert [(path, path.stat().st_mtime_ns) for path in stored(saved)] == before


def test_a_broken_limit_is_saved_and_fails(project):
    write(project, 1.2)
    session = project.run("--save-baseline")
    assert session.exit == 1
    assert len(stored(project)) == 1


def test_a_scenario_with_failed_requests_is_not_saved(project):
    write(project, more=", failure='cut' if noisy(1) > 1.1 else None")
    session = project.run("--save-baseline")
    assert session.exit == 1
    assert stored(project) == []
    assert "test_router: not saved, " in session.text
    assert " of 200 requests failed" in session.text


def test_what_was_not_selected_is_not_touched(saved):
    write(saved, name="chat")
    saved.run("--save-baseline", "-k", "chat")
    assert len(stored(saved)) == 2
    (router,) = saved.path.glob(".llmperf/baselines/*router*/*/*.json")
    before = router.read_text("utf-8")
    saved.run("--save-baseline", "-k", "chat")
    assert router.read_text("utf-8") == before


def test_another_way_of_streaming_is_not_comparable_and_named(saved):
    write(saved, more=", streamed=False")
    session = saved.run()
    assert session.exit == 0
    assert session.scenario()["outcome"] == "not_comparable"
    assert "not comparable (streaming: on then, off now): pytest --save-baseline" in session.text


def test_a_baseline_of_each_environment_is_kept(saved):
    write(saved, more=", streamed=False")
    saved.run("--save-baseline")
    assert len(stored(saved)) == 2
    assert saved.run().scenario()["outcome"] == "passed"
    write(saved)
    assert saved.run().scenario()["outcome"] == "passed"


def truncated(text):
    return text[: len(text) // 2]


def edited(text):
    return text.replace("0.1", "0.2", 1)


def newer(text):
    return text.replace('"llmperf_baseline": 1', '"llmperf_baseline": 99')


def foreign(text):
    return '{"commit_info": {}, "benchmarks": []}'


def of_another_scenario(text):
    return text.replace("test_router.py::test_router", "test_other.py::test_router")


def empty(text):
    return ""


@pytest.mark.parametrize("harm", [truncated, edited, newer, foreign, of_another_scenario, empty])
def test_a_file_that_cannot_be_trusted_fails_its_scenario_and_is_not_replaced(saved, harm):
    write(saved, name="chat")
    (path,) = stored(saved)
    harmed = harm(path.read_text("utf-8"))
    path.write_text(harmed, "utf-8")
    session = saved.run()
    assert session.exit == 1
    assert session.outcomes() == {"passed": 1, "failed": 1}
    assert session.scenario("test_router")["outcome"] == "failed"
    assert str(path) in session.scenario("test_router")["reason"]
    assert "pytest_llmperf/" not in session.text.replace(str(path), "")
    session = saved.run("--save-baseline")
    assert session.exit == 3
    assert f"test_router: the baseline was not saved: {path}" in session.text
    assert path.read_text("utf-8") == harmed
    assert len(list(path.parent.iterdir())) == 1


def test_a_directory_that_lost_its_file_fails_its_scenario(saved):
    (path,) = stored(saved)
    path.unlink()
    session = saved.run()
    assert session.exit == 1
    assert f"{path.parent} holds no run" in session.text


def test_a_baseline_that_is_somewhere_else(project):
    write(project)
    project.run("--save-baseline", "--llm-baseline=elsewhere/store")
    assert list(project.path.glob("elsewhere/store/*/*/*.json"))
    assert not (project.path / ".llmperf").exists()
    assert project.run("--llm-baseline=elsewhere/store").scenario()["outcome"] == "passed"


def test_a_baseline_that_is_not_there_is_an_error(project):
    write(project)
    session = project.run("--llm-baseline=elsewhere")
    assert session.exit != 0
    assert "--llm-baseline: " in session.text
    assert "does not exist; expected a directory, and pytest --save-baseline makes it" in session.text


def test_a_store_that_cannot_be_written_fails_the_session(project):
    write(project)
    project.write("store", "a file, no directory")
    session = project.run("--save-baseline", "--llm-baseline=store")
    assert session.exit == 3
    assert "test_router: the baseline was not saved" in session.text


@pytest.mark.parametrize(
    "words", [("--save-baseline", "--llm-append-baseline"), ("--save-baseline", "--llm-quick")]
)
def test_options_that_contradict_each_other_are_refused(project, words):
    write(project)
    session = project.run(*words)
    assert session.exit == 4
    assert stored(project) == []


def test_small_steps_do_not_creep_past_the_anchor(project):
    project.write("pytest.ini", "[pytest]\n")
    creeping = """
        @llm_slo(iterations=100, max_iterations=100)
        def test_router(ask, noisy):
            ask(noisy({median}))
        """
    project.test(creeping.format(median=0.100))
    assert project.run("--save-baseline").exit == 0
    for median in (0.108, 0.117, 0.126):
        project.test(creeping.format(median=median))
        assert project.run("--llm-append-baseline").exit == 0
    project.test(creeping.format(median=0.136))
    session = project.run()
    assert session.exit == 1
    assert "since the anchor: p95" in session.text


# Baselines behind a URL


@pytest.fixture
def published(saved):
    """The project's baseline as an archive on a server, and not in the project; gives its URL."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in stored(saved):
            archive.writestr(str(path.relative_to(saved.path)), path.read_bytes())
    shutil.rmtree(saved.path / ".llmperf")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/main.zip" else 404)
            self.end_headers()
            if self.path == "/main.zip":
                self.wfile.write(packed.getvalue())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://ci:s3cret-word@127.0.0.1:{server.server_port}/main.zip"
        server.shutdown()


def test_a_baseline_behind_a_url_is_compared_with(saved, published):
    write(saved, median=0.2)
    session = saved.run(f"--llm-baseline={published}")
    assert session.scenario()["outcome"] == "regressed"
    assert "s3cret" not in session.text
    assert "s3cret" not in json.dumps(session.report)
    assert stored(saved) == []


def test_a_url_without_a_baseline_ends_the_session_at_once(saved, published):
    session = saved.run(f"--llm-baseline={published}.gone")
    assert session.exit == 4
    assert "main.zip.gone answered with 404." in session.text
    assert "s3cret" not in session.text


def test_nothing_is_saved_behind_a_url(saved, published):
    session = saved.run(f"--llm-baseline={published}", "--save-baseline")
    assert session.exit == 4
    session.result.stderr.fnmatch_lines(["*--llm-baseline: a URL is only read*"])
