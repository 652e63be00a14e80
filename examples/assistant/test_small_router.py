"""A model of half the size with a prompt of half the length, for the part that is asked most often."""

from __future__ import annotations

import httpx
import pytest

from bantz import ROUTE, prompt
from pytest_llmperf import llm_slo

MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
SYSTEM = prompt("small_router")


@pytest.fixture
def small(llm):
    """Skips where the server does not have the small model."""
    server = llm.url.rstrip("/").removesuffix("/v1")
    listed = httpx.get(f"{server}/v1/models").raise_for_status().json()["data"]
    if MODEL not in {model["id"] for model in listed}:
        pytest.skip(f"the server has no {MODEL}")
    return llm


@llm_slo(role="small_router", cases="cases/router.yaml", accuracy={"route": 0.95, "intent": 0.90})
def test_small_router(small, llm_case):
    reply = small.chat(llm_case["utterance"], system=SYSTEM, schema=ROUTE, model=MODEL)
    small.check("route", reply.json["route"] == llm_case["route"], label=llm_case["route"])
    small.check("intent", reply.json["intent"] == llm_case["intent"], label=llm_case["intent"])
