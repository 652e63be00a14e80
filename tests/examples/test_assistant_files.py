from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import jsonschema
import pytest

from pytest_llmperf.cases import load_cases
from pytest_llmperf.core.estimate import estimated_tokens
from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.slo_yaml import file as slo_file

ROOT = Path(__file__).parents[2]
ASSISTANT = ROOT / "examples" / "assistant"
ROLES = ("router", "orchestrator", "chat")


def load(path):
    return slo_file.load(path, today=dt.date(2026, 1, 1))


def mock_rules(file, folder):
    return json.loads(parse_config(file.mock, folder=folder).section)["replies"]


def text(path):
    return (ASSISTANT / path).read_text("utf-8")


@pytest.mark.parametrize("role", ROLES)
def test_every_prompt_is_within_the_input_budget_of_its_role(role):
    cases = load_cases(ASSISTANT / "cases" / f"{role}.yaml")
    longest = max(len(" ".join(map(str, case.values()))) for case in cases)
    budget = load(ASSISTANT / "slo.yaml").roles[role].slo["input_tokens max"].bound
    assert estimated_tokens(text(f"prompts/{role}.txt")) + longest / 4 <= budget


def test_the_router_is_asked_the_ten_utterances_and_four_at_the_edge():
    assert len(load_cases(ASSISTANT / "cases" / "router.yaml")) == 14


def test_every_expected_route_and_intent_is_one_that_the_schema_allows():
    schema = json.loads(text("schemas/router.json"))
    for case in load_cases(ASSISTANT / "cases" / "router.yaml"):
        jsonschema.validate({"route": case["route"], "intent": case["intent"]}, schema)


@pytest.mark.parametrize("role", ["router", "orchestrator"])
def test_every_example_in_a_prompt_holds_to_the_schema(role):
    schema = json.loads(text(f"schemas/{role}.json"))
    examples = [line for line in text(f"prompts/{role}.txt").splitlines() if line.startswith("{")]
    assert examples
    for example in examples:
        jsonschema.validate(json.loads(example), schema)


def test_no_role_stops_at_a_closing_brace():
    assert all("stop" not in role.params for role in load(ASSISTANT / "slo.yaml").roles.values())


def test_the_slow_file_differs_in_the_latency_alone():
    normal, slow = load(ASSISTANT / "slo.yaml"), load(ASSISTANT / "slow.yaml")
    assert normal.mock["latency"] != slow.mock["latency"]
    assert mock_rules(normal, ASSISTANT) == mock_rules(slow, ASSISTANT) != ()
    assert {**normal.mock, "latency": None, "replies": None} == {
        **slow.mock,
        "latency": None,
        "replies": None,
    }
    for part in ("defaults", "backends", "roles", "scenarios", "prices"):
        assert getattr(normal, part) == getattr(slow, part), part
