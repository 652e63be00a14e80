"""Reads the chunks of a stream that differ in one string, without reading the rest of their JSON again.

Nearly all chunks of a stream are the same text but for the piece of the answer that they bring. A reader of
JSON that has seen the same characters is in the same state: a chunk that begins as an earlier one did, goes
on with a string, and ends as that one did, says the same but for this string.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from json.decoder import scanstring  # type: ignore[attr-defined] # what JSONDecoder itself reads strings with

from pytest_llmperf.wire.events import Delta, Event

#: How many chunks of a stream are learned from, at most: in some streams none is like another.
_LESSONS = 3


class Template:
    """What the text chunks of one stream have in common."""

    def __init__(self, read: Callable[[bytes], list[Event]]) -> None:
        """*read* reads a chunk in full, and raises ValueError where it cannot."""
        self._read = read
        self._before = ""
        self._after = ""
        self._delta: Callable[[str], Delta] | None = None  #: None: nothing was learned yet
        self._lessons = _LESSONS

    def delta(self, chunk: bytes) -> Delta | None:
        """All that *chunk* says; None if it has to be read in full to know that."""
        if self._delta is None:
            return None
        try:
            text = chunk.decode()
            if not text.startswith(self._before):
                return None
            said, end = scanstring(text, len(self._before))
        except ValueError:  # no UTF-8, or no string
            return None
        return self._delta(said) if said and text[end:] == self._after else None

    def learn(self, chunk: bytes, events: list[Event]) -> None:
        """Take *chunk* as the template if it, which says *events* when read in full, can be one.

        The proof is another text in its place, that is told as what the chunk says.
        """
        if not self._lessons or len(events) != 1 or not isinstance(events[0], Delta):
            return
        said = events[0].content or events[0].reasoning
        delta = Delta if events[0].content else _reasoning
        before, found, after = chunk.decode().partition(f'"{said}"')
        if not said or not found:  # nothing, or written with escapes
            return
        self._lessons -= 1
        other = said + "."
        with suppress(ValueError):
            if self._read(f'{before}"{other}"{after}'.encode()) == [delta(other)]:
                self._before, self._after, self._delta = f'{before}"', after, delta


def _reasoning(text: str) -> Delta:
    return Delta("", text)
