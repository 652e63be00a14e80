"""The assistant's tests say something on the mock too: what gets worse, fails them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.examples

ASSISTANT = Path(__file__).parents[2] / "examples" / "assistant"
WORSE = {
    "the model routes a question about the plan to smalltalk": (
        "replies.yaml",
        "var mı], json: {route: calendar, intent: query}",
        "var mı], json: {route: smalltalk, intent: none}",
        "test_assistant.py::test_router",
    ),
    "the model answers in prose": (
        "replies.yaml",
        "json: {route: unknown, intent: none}",
        "text: Bilmiyorum efendim.",
        "test_assistant.py::test_router",
    ),
    "the model plans one step of two": (
        "replies.yaml",
        "[list_events, delete_event]",
        "[delete_event]",
        "test_assistant.py::test_orchestrator",
    ),
    "the model is obsequious": (
        "replies.yaml",
        "İyiyim efendim, teşekkür ederim.",
        "İyiyim efendim, teşekkür ederim efendim.",
        "test_assistant.py::test_chat",
    ),
    "the memory is never written": (
        "bantz.py",
        "self.memory.turn(said, outcome)",
        "pass",
        "test_conversation.py",
    ),
    "the memory keeps a phone number": (
        "memory.py",
        'redact(f"Kullanıcı “{said}” dedi; {outcome}.")',
        'f"Kullanıcı “{said}” dedi; {outcome}."',
        "test_conversation.py",
    ),
    "capitals are made small the English way": (
        "turkish.py",
        '.replace("I", "ı")',
        "",
        "test_turkish.py",
    ),
    "the memory grows without end": ("memory.py", "del texts[0]", "break", "test_memory.py"),
    "the persona is another": ("prompts/chat.txt", "efendim", "patron", "test_scores.py"),
}


@pytest.mark.parametrize("what", WORSE)
def test_it_fails_when(what, tmp_path):
    file, there, instead, tests = WORSE[what]
    copy = tmp_path / "assistant"
    shutil.copytree(ASSISTANT, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    text = (copy / file).read_text("utf-8")
    assert there in text
    (copy / file).write_text(text.replace(there, instead), "utf-8")
    few = ["--llm-warmup=0", "--llm-iterations=20", "--llm-max-iterations=20"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", tests, *few], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
