"""The comment on a pull request, which trusts nothing of the run that it is about."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from pytest_llmperf.cli import main
from pytest_llmperf.github import artifact

MARKER = "<!-- pytest-llmperf llm-gate -->"


def run_json(*, name: str = "test_chat", reason: str = "p95 212 ms > 150 ms", **environment: str) -> str:
    return json.dumps(
        {
            "schema": "pytest-llmperf/run/1",
            "outcome": "failed",
            "environment": {"backend": "mock", **environment},
            "scenarios": [
                {
                    "id": f"tests/test_chat.py::{name}",
                    "name": name,
                    "backend": "mock",
                    "model": "mock",
                    "outcome": "failed",
                    "reason": reason,
                    "checks": [],
                    "series": {"latency_s": [0.2, 0.21]},
                    "requests": {"sent": 2, "failed": 0},
                    "tokens": {},
                }
            ],
        }
    )


@pytest.fixture
def measured(github, step, finished, archive):
    """A finished run with a pull request and an artifact."""
    step.event(finished())
    github.pull()
    github.artifact(archive({"run.json": run_json(), "report.html": "<html>"}))
    return github


def comment(*arguments: str) -> int:
    return main(["github", "comment", *arguments])


def test_the_first_comment_is_posted_on_the_pull_request_of_the_commit(measured):
    assert comment() == 0
    assert measured.sent("POST") == ["/repos/owner/project/issues/7/comments"]
    (sent,) = measured.bodies
    assert sent["body"].startswith(f"{MARKER}\n## ❌ llm performance: 1 failed")
    assert "212 ms" in sent["body"]
    link = "[HTML report and run.json](https://github.example/owner/project/actions/runs/55/artifacts/900)"
    assert link in sent["body"]


def test_an_earlier_comment_is_replaced_wherever_in_the_list_it_stands(measured):
    for _ in range(4):
        measured.comment("something else")
    number = measured.comment(f"{MARKER}\nold")
    assert comment() == 0
    assert measured.sent("PATCH") == [f"/repos/owner/project/issues/comments/{number}"]
    assert measured.sent("POST") == []


def test_a_strangers_comment_with_the_marker_is_left_alone(measured):
    measured.comment(f"{MARKER}\nmine", login="stranger")
    assert comment() == 0
    assert measured.sent("PATCH") == []
    assert len(measured.sent("POST")) == 1


def test_a_comment_that_quotes_the_marker_is_left_alone(measured):
    measured.comment(f"look: {MARKER}")
    assert comment() == 0
    assert measured.sent("PATCH") == []


def test_a_token_that_only_reads_is_an_error_that_says_what_to_do(measured, capsys):
    measured.refuses["POST"] = (403, "Resource not accessible by integration")
    assert comment() == 2
    said = capsys.readouterr().err
    assert "403" in said
    assert "Resource not accessible by integration" in said
    assert "workflow_run" in said


def test_the_token_is_in_no_text(measured, capsys):
    measured.refuses["POST"] = (403, "no: Bearer t0ken-of-the-job")
    comment()
    printed = capsys.readouterr()
    assert "t0ken-of-the-job" not in printed.out + printed.err


def test_the_token_stays_with_the_api_when_an_artifact_is_elsewhere(measured):
    comment()
    assert measured.tokens_at_storage == [None]


@pytest.mark.parametrize(
    "pull",
    [
        {"head": "c" * 40},  # pushed to since
        {"head_repository": 3},  # another fork's branch of the same name
        {"repo": None},  # the fork is gone
    ],
)
def test_a_pull_request_that_is_not_at_the_commit_gets_no_comment(github, step, finished, pull, capsys):
    step.event(finished())
    github.pull(**pull)
    assert comment() == 0
    assert "nothing to say" in capsys.readouterr().out
    assert github.bodies == []


def test_the_pull_requests_number_is_never_taken_from_the_artifact(github, step, finished, archive):
    step.event(finished())
    github.pull(7)
    github.artifact(archive({"run.json": run_json(pull_request="1", number="1"), "number": "1"}))
    comment()
    assert github.sent("POST") == ["/repos/owner/project/issues/7/comments"]


def test_a_run_that_was_for_a_push_gets_no_comment(github, step, finished):
    step.event(finished(event="push"))
    github.pull()
    assert comment() == 0
    assert github.requests == []


def test_another_event_is_refused(step, capsys):
    step.event({"pull_request": {}})
    assert comment() == 2
    assert "workflow_run" in capsys.readouterr().err


def test_outside_a_workflow_the_command_says_so(step, monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_REPOSITORY")
    assert comment() == 2
    assert "on your own machine, use pytest" in capsys.readouterr().err.lower()


def test_a_run_without_an_artifact_says_that_nothing_was_left(github, step, finished):
    step.event(finished())
    github.pull()
    assert comment() == 0
    assert "left no measurement behind" in github.bodies[0]["body"]


def test_the_artifact_of_the_newest_attempt_is_read(measured, archive):
    measured.artifact(archive({"run.json": run_json(reason="p95 999 ms > 150 ms")}))
    comment()
    assert "999 ms" in measured.bodies[0]["body"]


def test_what_the_artifact_says_makes_no_markup_mention_or_link(github, step, finished, archive):
    step.event(finished())
    github.pull()
    hostile = "</details><img src=x> @owner [x](https://evil.example) <!-- pytest-llmperf -->\n\n# owned"
    github.artifact(archive({"run.json": run_json(name=hostile, reason=hostile), "report.md": hostile}))
    comment()
    body = github.bodies[0]["body"].removeprefix(MARKER)
    for piece in ("<img", "<!--", "](https://evil", "\n# owned", "</details><", " @owner"):
        assert piece not in body


def lying_zip() -> bytes:
    """A zip whose directory says less than is in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", " " * 3_000_000)
    return buffer.getvalue().replace((3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no zip", "no zip file"),
        (lying_zip(), "cannot be read"),
        ({"other.json": "{}"}, "holds no run.json"),
        ({"run.json": "{"}, "is not JSON"),
        ({"run.json": '{"schema": "else"}'}, "is not a report"),
        ({"run.json": b"\xff\xfe"}, "cannot be read"),
        ({"run.json": "[" * 100_000}, "cannot be read"),
        ({"run.json": run_json().replace("0.21", "1e999")}, "llm performance"),
        ({"run.json": run_json().replace("0.21", "1" * 5000)}, "cannot be read"),
        ({"run.json": run_json().replace("0.21", "-1")}, "llm performance"),
    ],
)
def test_a_broken_artifact_is_told(github, step, finished, archive, content, said):
    step.event(finished())
    github.pull()
    github.artifact(content if isinstance(content, bytes) else archive(content))
    assert comment() == 0
    assert said in github.bodies[0]["body"]


def test_an_artifact_that_says_it_is_too_large_is_not_downloaded(github, step, finished, archive):
    step.event(finished())
    github.pull()
    github.artifact(archive({"run.json": run_json()}), size_in_bytes=artifact.MOST_ZIPPED + 1)
    comment()
    assert "bytes" in github.bodies[0]["body"]
    assert github.tokens_at_storage == []


def test_an_artifact_that_is_larger_than_it_says_is_dropped(measured, monkeypatch):
    monkeypatch.setattr(artifact, "MOST_ZIPPED", 100)
    measured.artifacts[0]["size_in_bytes"] = 10
    comment()
    assert "more than 100 bytes" in measured.bodies[0]["body"]


def test_a_bomb_is_not_unpacked(measured, monkeypatch):
    monkeypatch.setattr(artifact, "MOST_READ", 100)
    comment()
    assert "unpacks to more than 100 bytes" in measured.bodies[0]["body"]


def test_no_more_of_a_bomb_is_unpacked_than_may_be_read(measured, monkeypatch):
    read, asked = zipfile.ZipExtFile.read, []
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda file, n=-1: asked.append(n) or read(file, n))
    comment()
    assert asked == [artifact.MOST_READ + 1]


def test_the_comment_says_when_the_gpu_gate_was_skipped(measured):
    comment("--expected-backend=vllm")
    assert "GPU gate skipped**: measured on mock instead of vllm." in measured.bodies[0]["body"]


def test_the_comment_says_nothing_of_a_gpu_gate_that_ran(measured):
    comment("--expected-backend=mock")
    assert "GPU gate" not in measured.bodies[0]["body"]
