from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from pytest_llmperf import cli
from pytest_llmperf.core.metric import KEYS, METRICS
from pytest_llmperf.core.outcome import Outcome
from pytest_llmperf.core.slo import ARGUMENTS
from pytest_llmperf.reports.write import REPORTS
from pytest_llmperf.slo_yaml.schema import build

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("reference_tables_as_text", DOCS / "_ext" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TABLES


def test_every_option_that_pytest_knows_is_in_the_table(tables, pytestconfig):
    parser = pytestconfig._parser
    group = next(group for group in parser._groups if group.name == "llm performance")
    flags = {name for option in group.options for name in option.names()}
    assert "--llm-backend" in flags
    assert flags == set(re.findall(r"`(--[a-z-]+)", tables["options"]()))


def test_every_ini_key_that_pytest_knows_is_in_the_table(tables, pytestconfig):
    known = {name for name in pytestconfig._parser._inidict if name.startswith("llm_")}
    assert known == set(re.findall(r"`(llm_\w+)`", tables["options"]()))


def test_every_slo_key_follows_from_the_table(tables):
    patterns = [
        re.escape(key).replace("<statistic>_<unit>", r"(p\d+|mean|max)_(ns|us|ms|s)")
        for key in re.findall(r"^\| `([^`]+)`", tables["keys"](), re.MULTILINE)
    ]
    assert len(patterns) == len(METRICS)
    unexplained = [
        key
        for key in KEYS
        if not any(re.fullmatch(pattern, key.removeprefix("latency_")) for pattern in patterns)
    ]
    assert unexplained == []


def test_every_marker_argument_is_in_the_table(tables):
    assert set(ARGUMENTS) == set(re.findall(r"^\| `(\w+)`", tables["arguments"](), re.MULTILINE))


def test_every_outcome_has_its_meaning(tables):
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", tables["outcomes"](), re.MULTILINE)
    assert [outcome for outcome, _ in rows] == list(Outcome)
    assert all(meaning for _, meaning in rows)


def test_every_section_of_slo_yaml_is_in_the_reference(tables):
    assert set(build()["properties"]) == set(re.findall(r"^## `(\w+)`", tables["slo-file"](), re.MULTILINE))


def test_every_field_of_a_run_is_in_the_reference(tables):
    schema = json.loads((DOCS.parent / "pytest_llmperf" / "schemas" / "run.schema.json").read_text("utf-8"))
    parts = [schema["properties"], *(schema["$defs"][name]["properties"] for name in ("scenario", "check"))]
    listed = re.findall(r"^\| `(\w+)` \|", tables["run-json"](), re.MULTILINE)
    assert sorted(listed) == sorted(name for part in parts for name in part)


def test_every_fixture_that_pytest_offers_is_in_the_table(tables, pytester):
    listed = pytester.runpytest(
        "--fixtures", "-o", "asyncio_default_fixture_loop_scope=function"
    ).stdout.str()
    section = listed.partition("fixtures defined from pytest_llmperf.fixtures ")[2].partition(
        "fixtures defined"
    )[0]
    offered = set(re.findall(r"^(\w+)(?: \[.*\])? -- ", section, re.MULTILINE))
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", tables["fixtures"](), re.MULTILINE))
    assert "llm" in offered
    assert offered == set(rows)
    assert all(rows.values())


def test_every_report_format_says_what_it_is(tables):
    rows = dict(re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", tables["reports"](), re.MULTILINE))
    assert set(REPORTS) == set(rows)
    assert all(rows.values())


def test_every_command_that_llmperf_offers_is_in_the_reference(tables, capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    offered = set(re.findall(r"^    (\w[\w-]*)", capsys.readouterr().out, re.MULTILINE))
    assert "compare" in offered
    assert offered == set(re.findall(r"^## `llmperf ([\w-]+)", tables["commands"](), re.MULTILINE))


def test_every_page_uses_a_table_that_exists(tables):
    used = {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"\{reference-table\} (\S+)", page.read_text("utf-8"))
    }
    assert used == set(tables)
