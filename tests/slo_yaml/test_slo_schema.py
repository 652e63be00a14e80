from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from pytest_llmperf.core.load import LOAD_ARGUMENTS
from pytest_llmperf.core.metric import KEYS
from pytest_llmperf.core.slo import ARGUMENTS
from pytest_llmperf.slo_arguments import LoadArguments, SloArguments
from pytest_llmperf.slo_yaml import schema as slo_schema

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "pytest_llmperf" / "schemas" / "slo.schema.json"


def valid(text: str) -> bool:
    return jsonschema.Draft202012Validator(slo_schema.build()).is_valid(yaml.safe_load(text))


def test_the_copy_for_editors_is_up_to_date():
    assert SHIPPED.read_text("utf-8") == slo_schema.text(), (
        "python -m pytest_llmperf.slo_yaml.schema > pytest_llmperf/schemas/slo.schema.json"
    )


def test_the_module_prints_it():
    printed = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "pytest_llmperf.slo_yaml.schema"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert printed.stdout == slo_schema.text()


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(slo_schema.build())


def test_every_reference_leads_somewhere():
    assert valid("{mock: {}, defaults: {p95_ms: 1}, roles: {a: {slo: {}}}, backends: {a: {slo: {b: {}}}}}")


def test_it_knows_every_key_and_every_argument():
    promises = slo_schema.build()["$defs"]["promises"]["properties"]
    assert set(promises) == set(KEYS) | set(ARGUMENTS) | {"load"}
    assert set(promises["load"]["properties"]) == set(LOAD_ARGUMENTS)


def test_every_promise_explains_itself():
    promises = slo_schema.build()["$defs"]["promises"]["properties"]
    assert [name for name, promise in promises.items() if not promise.get("description")] == []


def test_type_checkers_know_every_key_and_every_argument():
    assert set(SloArguments.__annotations__) == set(KEYS) | set(ARGUMENTS)


def test_type_checkers_know_every_argument_of_a_load():
    assert set(LoadArguments.__annotations__) == set(LOAD_ARGUMENTS)


def test_type_checkers_ask_for_no_argument():
    assert SloArguments.__required_keys__ == frozenset()


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("defaults: {p95_ms: 150}", True),
        ("defaults: {p95_ms: 0}", False),
        ("defaults: {json_valid: 1}", True),
        ("defaults: {json_valid: 98%}", True),
        ("defaults: {json_valid: 1.01}", False),
        ("defaults: {cache_hit_rate: 40%}", True),
        ("defaults: {cache_hit_rate: 40}", False),
        ("defaults: {tokens_per_s: 40}", True),
        ("defaults: {max_regression: 150%}", True),
        ("defaults: {max_regression: 10}", False),
        ("defaults: {p95_mss: 150}", False),
        ("nothing: {}", False),
    ],
)
def test_values_are_held_to_their_kind(text, ok):
    assert valid(text) is ok
