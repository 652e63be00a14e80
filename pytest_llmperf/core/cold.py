"""Prompts that no prefix cache knows: a number of their own at their head."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

#: Digits of a number. A tokenizer cuts digits one by one or in groups of three, so that numbers of one
#: length are the same number of tokens each; words are not.
_DIGITS = 9


class Marks:
    """Marks for the head of a prompt: never the same twice, always of the same form.

    *salt* has to differ between sessions: a server that keeps running would know the marks of the last
    one. Given the salt, the marks of a session are always the same.
    """

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._numbers = itertools.count()  # which threads may share

    def __call__(self) -> str:
        """The next mark, such as ``[id 730491822]`` on a line of its own."""
        digest = blake2b(f"{self._salt} {next(self._numbers)}".encode(), digest_size=8).digest()
        return f"[id {int.from_bytes(digest, 'big') % 10**_DIGITS:0{_DIGITS}}]\n"


def marked_messages(messages: Sequence[Mapping[str, Any]], mark: str) -> list[Mapping[str, Any]]:
    """*messages* with *mark* before the first text: the system prompt's, where there is one.

    No message is added: some chat templates have words of their own where no system prompt is.
    """
    if not messages:
        return []
    first, *rest = messages
    return [{**first, "content": _marked(first.get("content"), mark)}, *rest]


def _marked(content: Any, mark: str) -> Any:  # Any: a text, or parts as the server knows them
    if isinstance(content, str):
        return mark + content
    if isinstance(content, Sequence) and content:
        return [{"type": "text", "text": mark}, *content]
    return mark
