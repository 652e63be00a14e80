"""What a program can say about personality and naturalness. The rest is people's: see scores.yaml."""

from __future__ import annotations

import re

from turkish import lower

ENGLISH = {"the", "and", "you", "your", "how", "can", "help", "sure", "here", "what", "is", "i"}
DECORATION = re.compile(r"^\s*([-*•#]|\d+[.)])\s|[\u2600-\u27bf\U0001f300-\U0001faff]|\*\*", re.MULTILINE)


def is_in_character(text):
    """Polite and not obsequious: "efendim" once, and never twice."""
    return len(re.findall(r"\befendim\b", lower(text))) == 1


def flaws(text):
    """Why *text* does not sound like somebody talking; nothing when it does."""
    words = re.findall(r"\w+", lower(text))
    found = {
        "says nothing": not words,
        "more than forty words": len(words) > 40,
        "more than three sentences": len(re.findall(r"[.!?…]+(?=\s|$)", text)) > 3,
        "more than one question": text.count("?") > 1,
        "a list, a heading or an emoji": bool(DECORATION.search(text)),
        "English": len(ENGLISH.intersection(words)) > 1,
        "says a word three times running": any(
            word == words[at - 1] == words[at - 2] for at, word in enumerate(words) if at > 1
        ),
        "ends in the middle": bool(words) and text.rstrip()[-1] not in ".!?…",
    }
    return [flaw for flaw, there in found.items() if there]
