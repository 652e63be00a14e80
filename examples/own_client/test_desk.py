"""The desk is measured in three ways: from inside, through the environment, and as a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import desk
from pytest_llmperf import llm_slo

PROGRAM = Path(__file__).with_name("desk.py")


@llm_slo(cases="tickets.yaml")
def test_it_is_given_a_client(llm_client, llm_case):
    helper = desk.Desk(llm_client.openai(), llm_client.model)
    assert helper.sort(llm_case["ticket"])["team"] == llm_case["team"]
    assert llm_case["mentions"] in "".join(helper.answer(llm_case["ticket"]))


@llm_slo(cases="tickets.yaml")
def test_it_makes_its_own_client(llm_client, llm_case, monkeypatch):
    for name, value in environment(llm_client).items():
        monkeypatch.setenv(name, value)
    sorted_to, answered = desk.handle(llm_case["ticket"])
    assert sorted_to["team"] == llm_case["team"]
    assert llm_case["mentions"] in answered


@llm_slo(cases="tickets.yaml")
def test_it_is_a_program(llm_client, llm_case):
    done = subprocess.run(
        [sys.executable, PROGRAM, llm_case["ticket"]],
        env=os.environ | environment(llm_client),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"[{llm_case['team']}]")


def environment(llm_client):
    """Where the desk finds the model; read in every iteration, see `llm_client.base_url`."""
    return {
        "OPENAI_BASE_URL": llm_client.base_url,
        "OPENAI_API_KEY": llm_client.api_key,
        "DESK_MODEL": llm_client.model,
    }
