"""What rules look at: the parts of a request that mean something, dialect left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_llmperf.mock.folding import Folded


@dataclass(slots=True, kw_only=True)
class Conversation:
    """One request's messages, as rules see them."""

    model: str
    user: str  #: the last user message, after the marker if one is configured
    system: str  #: all system and developer messages
    history: tuple[str, ...]  #: the user messages before the last one
    role: str | None = None  #: header X-Llmperf-Role
    _folded: Folded | None = None

    @property
    def turn(self) -> int:
        """How many user messages there are."""
        return len(self.history) + 1

    @property
    def folded(self) -> Folded:
        """The last user message, ready for comparison."""
        if self._folded is None:
            self._folded = Folded(self.user)
        return self._folded


def from_messages(
    messages: list[Any], *, model: str, marker: str | None = None, role: str | None = None
) -> Conversation:
    """The conversation of a list of chat messages (already checked to be mappings)."""
    users: list[str] = []
    systems: list[str] = []
    for message in messages:
        kind = message.get("role")
        if kind == "user":
            users.append(text_of(message.get("content")))
        elif kind in ("system", "developer"):
            systems.append(text_of(message.get("content")))
    last = users.pop() if users else ""
    return Conversation(
        model=model,
        user=after_marker(last, marker),
        system="\n".join(systems),
        history=tuple(users),
        role=role,
    )


def after_marker(text: str, marker: str | None) -> str:
    """What follows the last *marker* in *text*; all of it when there is none."""
    if marker is None or marker not in text:
        return text
    return text.rpartition(marker)[2].strip()


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""
