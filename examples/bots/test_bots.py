"""Every bot of bots.yaml is a scenario of its own, with its targets in slo.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pytest_llmperf import llm_slo

BOTS = yaml.safe_load(Path(__file__).with_name("bots.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "bot", [pytest.param(bot, id=name, marks=llm_slo(cases=bot["cases"])) for name, bot in BOTS.items()]
)
def test_bot(llm, llm_case, bot):
    reply = llm.chat(llm_case["asks"], system=bot["prompt"], schema=bot.get("schema"), max_tokens=200)
    for word in llm_case["expects"]:
        assert word in reply.text
