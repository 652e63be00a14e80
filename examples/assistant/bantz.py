"""The assistant: one message in, one answer out, and a memory in between."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from memory import Memory

HERE = Path(__file__).parent


def prompt(role):
    return (HERE / "prompts" / f"{role}.txt").read_text(encoding="utf-8").strip()


def schema(role):
    return json.loads((HERE / "schemas" / f"{role}.json").read_text(encoding="utf-8"))


ROUTER, ORCHESTRATOR, CHAT = prompt("router"), prompt("orchestrator"), prompt("chat")
ROUTE, PLAN = schema("router"), schema("orchestrator")

#: The user's calendar. A real assistant asks a service.
EVENTS = ["pazartesi 10:00 ekip toplantısı", "çarşamba 14:30 dişçi", "cuma 19:00 yemek"]
CHANGES = {"add_event": "eklendi", "move_event": "değiştirildi", "delete_event": "silindi"}


@dataclass(frozen=True)
class Heard:
    """What became of one message."""

    route: str
    text: str
    tools: tuple[str, ...] = ()


class Bantz:
    """*llm* answers, *count* counts tokens."""

    def __init__(self, llm, count):
        self._llm = llm
        self.memory = Memory(count)

    def hear(self, said):
        """Route *said*, then plan or talk, and remember it."""
        route = self._llm.chat(said, system=ROUTER, schema=ROUTE, role="router").json["route"]
        heard = self._work(said) if route == "calendar" else self._talk(said, route)
        outcome = f"{', '.join(heard.tools)} çağrıldı" if heard.tools else "sohbet edildi"
        self.memory.turn(said, outcome)
        return heard

    def _work(self, said):
        message = f"ÖZET: {self.memory.summary}\nİSTEK: {said}"
        plan = self._llm.chat(message, system=ORCHESTRATOR, schema=PLAN, role="orchestrator").json
        tools = tuple(plan["tools"])
        for tool in tools:
            self.memory.tool(tool, "; ".join(EVENTS) if tool == "list_events" else CHANGES[tool])
        if plan["confirm"]:
            return Heard("calendar", "Takviminizi değiştireyim mi efendim?", tools)
        return Heard("calendar", f"{len(EVENTS)} etkinliğiniz var efendim: {'; '.join(EVENTS)}.", tools)

    def _talk(self, said, route):
        message = f"HAFIZA: {self.memory.summary}\nSÖZ: {said}"
        return Heard(route, self._llm.chat(message, system=CHAT, role="chat").text)
