"""Three small tasks, and three questions to each answer: is the order followed, is it coherent, true?"""

from __future__ import annotations

import json
import re

SENTENCE = re.compile(r"[.!?](?=\s|$)")


def apples(text):
    return {
        "follows": 0 < len(text.split()) <= 60,  # "briefly"
        "coherent": bool(SENTENCE.search(text)),
        "no hallucination": re.findall(r"\d+", text)[-1:] == ["4"],
    }


def release_note(text):
    return {
        "follows": len(SENTENCE.findall(text)) == 2,
        "coherent": text[:1].isupper() and text.rstrip()[-1:] in ".!?",
        "no hallucination": "login" in text.lower()
        and not re.search(r"\d|https?:", text),  # no made-up facts
    }


def json_only(text):
    try:
        made = json.loads(text)
    except ValueError:
        made = None
    is_object = isinstance(made, dict)
    return {
        "follows": is_object and set(made) == {"title", "risks", "owner"},
        "coherent": is_object and isinstance(made.get("risks"), list) and bool(made.get("title")),
        "no hallucination": is_object and made.get("owner") == "Platform",
    }


TASKS = [
    ("You have 3 apples, buy 2, eat 1. How many left? Explain briefly.", apples),
    ("Write a 2-sentence, friendly release note for a bug fix in login rate limiting.", release_note),
    ("Output a JSON with keys title, risks[], owner='Platform', no extra text.", json_only),
]
