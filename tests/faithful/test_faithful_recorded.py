"""The mock answers every question as real servers were recorded to do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from asking import ask
from judging import DIALECTS, MOCK, surprises
from known import KNOWN
from questions import QUESTIONS
from recorded import load

from pytest_llmperf.mock.process import start_mock


@pytest.fixture(scope="module", params=sorted(KNOWN))
def server(request):
    """A real server's name, its recorded answers, and the port of a mock that plays it."""
    with start_mock({**MOCK, "dialect": DIALECTS[request.param]}) as mock:
        yield request.param, load(request.param), mock.port


def test_the_mock_answers_as_the_server_did(server):
    name, recorded, port = server
    assert sorted(recorded) == sorted(QUESTIONS)
    found = {
        title: surprises(name, title, ask(port, question.data, answers=question.answers), recorded[title])
        for title, question in QUESTIONS.items()
    }
    assert {title: one for title, one in found.items() if one} == {}


def test_known_differences_are_about_questions_that_are_asked(server):
    name, _, _ = server
    assert set(KNOWN[name]) <= set(QUESTIONS)


@pytest.mark.parametrize(
    "change",
    [
        {"first": "HTTP/1.1 500 Internal Server Error"},
        {"headers": ()},
        {"body": b'{"id":"x"}'},
        {"stays": False},
    ],
    ids=["status", "headers", "body", "connection"],
)
def test_any_other_answer_is_a_surprise(server, change):
    name, recorded, _ = server
    [answer] = recorded["chat"]
    assert surprises(name, "chat", [answer], [answer]) == []
    assert surprises(name, "chat", [dataclasses.replace(answer, **change)], [answer])


def test_the_documentation_tells_how_many_were_asked_and_how_many_differ():
    page = (Path(__file__).resolve().parents[2] / "docs" / "explanation" / "mock.md").read_text("utf-8")
    assert f"The same {len(QUESTIONS)} requests" in page
    assert {20: "Twenty"}[len(KNOWN["vllm"])] in page
