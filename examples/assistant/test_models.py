"""One model for every role, or several: the same conversation under each plan of models.yaml."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import yaml

from bantz import ROUTE, Bantz, prompt
from pytest_llmperf import llm_slo

HERE = Path(__file__).parent
PLANS = yaml.safe_load((HERE / "models.yaml").read_text(encoding="utf-8"))
SMALL_ROUTER = prompt("small_router")


def need(llm, models):
    """Skip where the server does not have all *models*. The mock plays any."""
    if llm.backend == "mock":
        return
    server = llm.url.rstrip("/").removesuffix("/v1")
    listed = httpx.get(f"{server}/v1/models").raise_for_status().json()["data"]
    if missing := sorted(set(models) - {model["id"] for model in listed}):
        pytest.skip(f"the server has no {', '.join(missing)}")


@llm_slo(ttft_p95_ms=300, p95_s=2, tokens_per_s=80, json_valid=0.98, iterations=10, warmup=1)
@pytest.mark.parametrize("plan", PLANS)
def test_plan(llm, llm_tokens, plan):
    need(llm, PLANS[plan].values())
    bantz = Bantz(llm, llm_tokens, PLANS[plan])
    assert bantz.hear("merhaba bantz").route == "smalltalk"
    assert bantz.hear("bu hafta neler planladık").tools == ("list_events",)


@llm_slo(role="small_router", cases="cases/router.yaml", accuracy={"route": 0.95, "intent": 0.90})
def test_small_router(llm, llm_case):
    need(llm, [PLANS["small router"]["router"]])
    reply = llm.chat(llm_case["utterance"], system=SMALL_ROUTER, schema=ROUTE)
    llm.check("route", reply.json["route"] == llm_case["route"], label=llm_case["route"])
    llm.check("intent", reply.json["intent"] == llm_case["intent"], label=llm_case["intent"])
