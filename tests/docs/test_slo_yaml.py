"""The slo.yaml at the top of the repository: complete, valid, explained, and no part of our own tests."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import jsonschema
import pytest
import yaml

from pytest_llmperf.core.baseline import MUST_MATCH
from pytest_llmperf.slo_yaml.file import load
from pytest_llmperf.slo_yaml.schema import build

ROOT = Path(__file__).parents[2]
PATH = ROOT / "slo.yaml"
TEXT = PATH.read_text("utf-8")

SCENARIOS = """
SCHEMA = {"type": "object", "properties": {"route": {"type": "string"}}, "required": ["route"]}

@llm_slo()
def test_router(llm):
    reply = llm.chat("bugün neler yapacağız", schema=SCHEMA)
    llm.check("route", reply.json["route"] == "calendar")

@llm_slo()
def test_chat(llm):
    assert "Efendim" in llm.chat("merhaba", role="chat").text
"""


@pytest.fixture(scope="module")
def sections():
    return yaml.load(TEXT, yaml.BaseLoader)


def test_it_has_every_section(sections):
    assert set(sections) == set(build()["properties"])


def test_every_section_begins_with_a_comment(sections):
    lines = TEXT.splitlines()
    starts = [lines.index(next(line for line in lines if line.startswith(f"{name}:"))) for name in sections]
    # max_cost_usd stands below the prices that it is about.
    assert [lines[at] for at in starts if not lines[at - 1].startswith("#") and " # " not in lines[at]] == []


def test_it_can_be_used_for_years():
    file = load(PATH, today=dt.date(2050, 1, 1))
    assert file.roles["router"].slo["latency p95"].bound == 0.15


def test_editors_find_it_valid():
    values = yaml.safe_load(TEXT.replace("2099-12-31", '"2099-12-31"'))  # a date is text in JSON
    jsonschema.Draft202012Validator(build()).validate(values)


def test_the_conditions_it_calls_the_default_are_the_default(sections):
    assert tuple(sections["baseline"]["must_match"]) == MUST_MATCH


def test_what_it_promises_holds_on_its_mock(pytester):
    pytester.makefile(".yaml", slo=TEXT)
    pytester.makepyfile(f"from pytest_llmperf import llm_slo\n{SCENARIOS}")
    models = (f"--llm-model={name}" for name in ("Qwen/Qwen2.5-3B-Instruct", "Qwen/Qwen3-8B"))
    run = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio", "--llm-quick", *models)
    run.assert_outcomes(passed=4)


def test_tests_without_a_scenario_do_not_read_such_a_file(pytester):
    """As our own tests, in whose root directory it lies."""
    pytester.makefile(".yaml", slo="no section of it: [")
    pytester.makepyfile("def test_plain(): pass")
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio").assert_outcomes(passed=1)
