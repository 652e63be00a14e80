"""The examples' tests say something on the mock too: what gets worse, fails them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.examples

EXAMPLES = Path(__file__).parents[2] / "examples"
WORSE = {
    "the model routes a question about the plan to smalltalk": (
        "assistant/replies.yaml",
        "var mı], json: {route: calendar, intent: query}",
        "var mı], json: {route: smalltalk, intent: none}",
        "test_assistant.py::test_router",
    ),
    "the model answers in prose": (
        "assistant/replies.yaml",
        "json: {route: unknown, intent: none}",
        "text: Bilmiyorum efendim.",
        "test_assistant.py::test_router",
    ),
    "the model plans one step of two": (
        "assistant/replies.yaml",
        "[list_events, delete_event]",
        "[delete_event]",
        "test_assistant.py::test_orchestrator",
    ),
    "the model is obsequious": (
        "assistant/replies.yaml",
        "İyiyim efendim, teşekkür ederim.",
        "İyiyim efendim, teşekkür ederim efendim.",
        "test_assistant.py::test_chat",
    ),
    "the memory is never written": (
        "assistant/bantz.py",
        "self.memory.turn(said, outcome)",
        "pass",
        "test_conversation.py",
    ),
    "the memory keeps a phone number": (
        "assistant/memory.py",
        'redact(f"Kullanıcı “{said}” dedi; {outcome}.")',
        'f"Kullanıcı “{said}” dedi; {outcome}."',
        "test_conversation.py",
    ),
    "capitals are made small the English way": (
        "assistant/turkish.py",
        '.replace("I", "ı")',
        "",
        "test_turkish.py",
    ),
    "the memory grows without end": ("assistant/memory.py", "del texts[0]", "break", "test_memory.py"),
    "the breaker never opens": (
        "resilience/planner/breaker.py",
        ">= self._failures",
        "> 10**9",
        "test_breaker.py test_chaos.py",
    ),
    "the client's own faults are tried again": (
        "resilience/planner/retry.py",
        "in {408, 429} or",
        ">= 400 or",
        "test_retry.py",
    ),
    "every client waits equally long": (
        "resilience/planner/retry.py",
        "JITTER = 0.05, 0.5, 0.25",
        "JITTER = 0.05, 0.5, 0.0",
        "test_retry.py",
    ),
    "one model gets another's plan": ("resilience/planner/cache.py", "{model}\\0", "", "test_cache.py"),
    "one breaker serves all models": (
        "resilience/planner/client.py",
        "self.breakers.of(model)",
        'self.breakers.of("")',
        "test_breaker.py",
    ),
    "a hit costs a millisecond": (
        "resilience/planner/cache.py",
        "answer = self._answers.get(key)",
        "answer = self._answers.get(key); __import__('time').sleep(0.002)",
        "test_speed.py::test_cache_hit",
    ),
    "the model sends one sector's messages to another": (
        "sectors/replies.yaml",
        "json: {sector: legal}",
        "json: {sector: education}",
        "test_frontdoor.py::test_every_sector --llm-iterations=69",
    ),
    "the model takes a sector's messages for none": (
        "sectors/replies.yaml",
        "json: {sector: energy}",
        "json: {sector: general}",
        "test_frontdoor.py -k _queries --llm-iterations=88",
    ),
    "the sectors' model is slow": (  # no load: chunks that are read late would put its times in doubt
        "sectors/slo.yaml",
        "lognormal(40ms, 0.1)",
        "constant(400ms)",
        "test_frontdoor.py::test_every_sector",
    ),
    "capitals of a sector's keywords are made small the English way": (
        "sectors/router.py",
        '.replace("I", "ı")',
        "",
        "test_router.py",
    ),
    "a soft consonant is another word": (
        "sectors/router.py",
        "if keyword[-1] in SOFT",
        "if False",
        "test_router.py",
    ),
    "every sector with a keyword is a candidate": (
        "sectors/sectors.yaml",
        "fallback_threshold: 0.2",
        "fallback_threshold: 0.0",
        "test_router.py",
    ),
    "the desk's model sorts a ticket wrongly": (
        "own_client/slo.yaml",
        "{team: billing, urgent: true}",
        "{team: shipping, urgent: true}",
        "test_desk.py::test_it_is_given_a_client",
    ),
    "the desk's model sorts in prose": (
        "own_client/slo.yaml",
        "json: {team: shipping, urgent: false}",
        "text: Shipping it is",
        "test_desk.py::test_it_makes_its_own_client",
    ),
    "the desk's model is slow": (
        "own_client/slo.yaml",
        "lognormal(40ms, 0.1)",
        "constant(600ms)",
        "test_desk.py::test_it_is_a_program --llm-iterations=5",
    ),
    "the console's bundle is missing": (
        "services/test_console.py",
        "/dashboard.js",
        "/dashboards.js",
        "test_console.py::test_ui_smoke",
    ),
    "the console's simulation is slow": (
        "services/conftest.py",
        'default="0"',
        'default="2.5"',
        "test_console.py::test_quantum_api",
    ),
    "the console's simulation is wrong": (
        "services/console.py",
        "-1)",
        "1)",
        "test_console.py::test_quantum_api",
    ),
    "the console asks for no token": (
        "services/console.py",
        "not in self.tokens",
        "in ()",
        "test_gate.py",
    ),
    "a job of the console is never done": (
        "services/console.py",
        "self.results[name] = coarsen",
        "self.results[name] = None and coarsen",
        "test_console.py::test_materials_jobs --llm-iterations=2",
    ),
    "a bot names the wrong currency": (
        "bots/slo.yaml",
        "amount: 48000, currency: EUR",
        "amount: 48000, currency: USD",
        "-k Treasury-BOT",
    ),
    "a bot's JSON is not by its schema": (
        "bots/slo.yaml",
        "{second_signature: false, rule: none}",
        "{second_signature: maybe, rule: none}",
        "-k Compliance-BOT",
    ),
    "a bot is slow": ("bots/slo.yaml", "lognormal(40ms, 0.1)", "constant(400ms)", "-k Support-BOT"),
    "a bot's server takes more memory than it may": (
        "bots/slo.yaml",
        "rss_mb: 512, tokens_per_s",
        "rss_mb: 5, tokens_per_s",
        "-k Research-BOT",
    ),
    "the persona is another": ("assistant/prompts/chat.txt", "efendim", "patron", "test_scores.py"),
}


def copied(example, folder):
    return shutil.copytree(
        EXAMPLES / example, folder / example, ignore=shutil.ignore_patterns("__pycache__", ".*")
    )


def replace(path, there, instead):
    text = path.read_text("utf-8")
    assert there in text
    path.write_text(text.replace(there, instead), "utf-8")


def run_in(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("what", WORSE)
def test_it_fails_when(what, tmp_path):
    path, there, instead, tests = WORSE[what]
    example, _, file = path.partition("/")
    copy = copied(example, tmp_path)
    replace(copy / file, there, instead)
    few = ["--llm-warmup=0", "--llm-iterations=20", "--llm-max-iterations=20"]
    done = run_in(copy, *few, *tests.split())
    assert done.returncode == 1, done.stdout


def test_a_bot_that_got_slower_within_its_targets_is_a_regression(tmp_path):
    copy = copied("bots", tmp_path)
    # Targets that a busy machine keeps too, so that nothing but the comparison can fail.
    replace(copy / "slo.yaml", "p95_ms: 300, ttft_p95_ms: 200", "p95_s: 10, ttft_p95_s: 10")
    only = ["-k", "Support-BOT"]
    saved = run_in(copy, *only, "--save-baseline", "--llm-iterations=40")
    assert saved.returncode == 0, saved.stdout
    replace(copy / "slo.yaml", "lognormal(40ms, 0.1)", "lognormal(400ms, 0.1)")
    done = run_in(copy, *only)
    assert done.returncode == 1, done.stdout
    assert "regressed" in done.stdout
