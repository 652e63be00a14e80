"""Is this small model fast enough, small enough, and good enough? scorecard.py makes the verdict of it."""

from __future__ import annotations

from pathlib import Path

import httpx

from pytest_llmperf import llm_slo
from quality import TASKS

READY = "Say 'ready' once."
PITCH = (
    "Summarize this product pitch into 3 bullet benefits and 1 risk. Keep under 70 words. Our notebook saves "
    "you an hour a week, works without a network, and needs no training. It costs 20 dollars a year."
)
LONG = Path(__file__).with_name("long_prompt.txt").read_text(encoding="utf-8")


@llm_slo()
def test_cold_start(llm):
    server = llm.url.rstrip("/").removesuffix("/v1")
    httpx.post(f"{server}/api/generate", json={"model": llm.model, "keep_alive": 0})  # unloads it
    assert llm.chat(READY).text


@llm_slo()
def test_warm_start(llm):
    assert llm.chat(READY).text


@llm_slo()
def test_pitch(llm):
    words = len(llm.chat(PITCH, temperature=0).text.split())
    assert 0 < words <= 70


@llm_slo()
def test_long_prompt(llm):
    assert llm.chat(LONG, temperature=0).text


@llm_slo(cases=[{"task": number} for number in range(len(TASKS))], iterations=9, max_iterations=9, warmup=0)
def test_quality(llm, llm_case):
    prompt, judge = TASKS[llm_case["task"]]
    for question, well in judge(llm.chat(prompt, temperature=0).text.strip()).items():
        llm.check(question, well, label=judge.__name__)
