"""The whole front door with a model: is it right in every sector, and how fast, alone and under load?"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from frontdoor import Frontdoor
from pytest_llmperf import llm_load, llm_slo
from router import GENERAL

CASES = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text(encoding="utf-8"))
OF_A_SECTOR = [case for case in CASES if case["sector"] != GENERAL]
OF_NONE = [case for case in CASES if case["sector"] == GENERAL]

#: Twenty users, ten more every second, who read for a tenth of a second.
LOAD = {"users": 20, "spawn_rate": 10, "duration": "5s", "think_time": "100ms", "mix": "frontdoor"}


@pytest.fixture(scope="module")
def frontdoor():
    return Frontdoor()


async def ask(llm, frontdoor, case):
    """Send a case through the front door and note whether it went where it belongs."""
    routed = await frontdoor.route(llm, case["message"])
    right = case["sector"]
    llm.check("candidate", right in (*routed.candidates, GENERAL), label=right)
    llm.check("sector", routed.sector == right, label=right)


@llm_slo(cases=CASES, warmup=0, iterations=len(CASES), max_iterations=len(CASES))
async def test_every_sector(async_llm, llm_case, frontdoor):
    await ask(async_llm, frontdoor, llm_case)


@llm_slo(cases=OF_A_SECTOR)
@llm_load(weight=75, **LOAD)
async def test_sector_queries(async_llm, llm_case, frontdoor):
    await ask(async_llm, frontdoor, llm_case)


@llm_slo(cases=OF_NONE)
@llm_load(weight=25, **LOAD)
async def test_general_queries(async_llm, llm_case, frontdoor):
    await ask(async_llm, frontdoor, llm_case)
