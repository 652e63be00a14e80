"""A Turkish assistant in three roles. Settings, budgets and limits of each role are in slo.yaml."""

from __future__ import annotations

from bantz import CHAT, ORCHESTRATOR, PLAN, ROUTE, ROUTER
from pytest_llmperf import llm_slo
from style import is_in_character
from turkish import lower


@llm_slo(cases="cases/router.yaml", accuracy={"route": 0.95, "intent": 0.90})
def test_router(llm, llm_case):
    reply = llm.chat(llm_case["utterance"], system=ROUTER, schema=ROUTE)
    llm.check("route", reply.json["route"] == llm_case["route"], label=llm_case["route"])
    llm.check("intent", reply.json["intent"] == llm_case["intent"], label=llm_case["intent"])


@llm_slo(cases="cases/orchestrator.yaml")
def test_orchestrator(llm, llm_case):
    message = f"ÖZET: {llm_case['summary']}\nİSTEK: {llm_case['request']}"
    plan = llm.chat(message, system=ORCHESTRATOR, schema=PLAN).json
    assert plan["tools"] == llm_case["tools"]
    assert plan["confirm"] == any(tool != "list_events" for tool in plan["tools"])


@llm_slo(cases="cases/chat.yaml")
async def test_chat(async_llm, llm_case):
    message = f"HAFIZA: {llm_case['memory']}\nSÖZ: {llm_case['utterance']}"
    reply = await async_llm.chat(message, system=CHAT)
    assert is_in_character(reply.text)
    assert llm_case["mentions"] in lower(reply.text)
