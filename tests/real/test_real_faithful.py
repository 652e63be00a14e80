"""Every question of tests/faithful, asked of a server that we did not write and of the mock that plays it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faithful"))  # --import-mode=importlib does not

from asking import ask
from judging import DIALECTS, MOCK, surprises
from known import KNOWN
from questions import QUESTIONS

from pytest_llmperf.mock.process import start_mock

pytestmark = pytest.mark.real


def test_the_mock_answers_as_the_server_does(server):
    if server.name not in KNOWN:
        pytest.skip(f"the mock does not play {server.name}")
    port = int(server.url.rpartition(":")[2])
    found = {}
    with start_mock({**MOCK, "dialect": DIALECTS[server.name]}) as mock:
        for title, question in QUESTIONS.items():
            ours, theirs = (ask(at, question.data, answers=question.answers) for at in (mock.port, port))
            found[title] = surprises(server.name, title, ours, theirs)
    assert {title: one for title, one in found.items() if one} == {}
