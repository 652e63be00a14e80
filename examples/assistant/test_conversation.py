"""Whole conversations: every turn is routed and answered, and later turns rely on earlier ones."""

from __future__ import annotations

from bantz import Bantz
from memory import BUDGET
from pytest_llmperf import llm_slo
from style import flaws, is_in_character
from turkish import lower


@llm_slo(
    cases="cases/conversations.yaml",
    accuracy={"route": 0.95, "in character": 0.95, "natural": 0.90},
    ttft_p95_ms=300,  # what people feel as an immediate answer
    p95_s=2,  # the whole answer may take longer once it has begun
    input_tokens=1200,
    iterations=10,
)
def test_conversation(llm, llm_tokens, llm_case):
    bantz = Bantz(llm, llm_tokens)
    for turn in llm_case["turns"]:
        heard = bantz.hear(turn["says"])
        llm.check("route", heard.route == turn["route"], label=turn["route"])
        llm.check("in character", is_in_character(heard.text))
        llm.check("natural", not flaws(heard.text), label=", ".join(flaws(heard.text)) or "no flaw")
        assert turn.get("mentions", "") in lower(heard.text)
        assert "secret" not in llm_case or llm_case["secret"] not in heard.text + bantz.memory.summary
    for part, text in bantz.memory.parts.items():
        assert llm_tokens(text) <= BUDGET[part], part
