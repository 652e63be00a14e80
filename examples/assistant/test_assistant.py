"""A Turkish assistant in three roles. Settings, budgets and limits of each role are in slo.yaml."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_llmperf import llm_slo

HERE = Path(__file__).parent


def prompt(role):
    return (HERE / "prompts" / f"{role}.txt").read_text(encoding="utf-8").strip()


def schema(role):
    return json.loads((HERE / "schemas" / f"{role}.json").read_text(encoding="utf-8"))


def lower(text):
    return text.replace("İ", "i").replace("I", "ı").lower()  # str.lower() makes two letters of "İ"


ROUTER, ORCHESTRATOR, CHAT = prompt("router"), prompt("orchestrator"), prompt("chat")
ROUTE, PLAN = schema("router"), schema("orchestrator")


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
    assert lower(reply.text).count("efendim") == 1  # polite, and not obsequious
    assert llm_case["mentions"] in lower(reply.text)
