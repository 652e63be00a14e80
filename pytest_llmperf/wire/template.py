"""Reads the events of a stream that differ in one string, without reading the rest of them again.

Nearly all events of a stream are the same text but for the piece of the answer that they bring. A reader that
has seen the same characters is in the same state: an event that begins as an earlier one did, goes on with a
JSON string, and ends as that one did, says the same but for this string.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from json.decoder import scanstring  # type: ignore[attr-defined] # what JSONDecoder itself reads strings with

from pytest_llmperf.wire.events import Delta, Event

#: How many events of a stream are learned from, at most: in some streams none is like another.
_LESSONS = 3


class Template:
    """What the text events of one stream have in common."""

    def __init__(self, read: Callable[[str], list[Event]]) -> None:
        """*read* reads a whole event, framing and all, and raises ValueError where it cannot."""
        self._read = read
        self._before = ""
        self._after = ""
        self._lead = self._trail = 0  #: characters of framing around the JSON text
        self._delta: Callable[[str], Delta] | None = None  #: None: nothing was learned yet
        self._lessons = _LESSONS

    def read(self, text: str, at: int, events: list[Event], payloads: list[str | bytes]) -> int:
        """Read the events of *text* from *at* on into *events*, and their JSON texts into *payloads*.

        Gives where that ends: at an event that has to be read in full, or behind the last one.
        """
        delta, before, after = self._delta, self._before, self._after
        while delta is not None and text.startswith(before, at):
            try:
                said, end = scanstring(text, at + len(before))
            except ValueError:  # no string, or not all of it
                break
            if not said or not text.startswith(after, end):
                break
            events.append(delta(said))
            end += len(after)
            payloads.append(text[at + self._lead : end - self._trail])
            at = end
        return at

    def learn(self, event: str, payload: str, said: Delta) -> None:
        """Take *event*, whose JSON text *payload* says *said* and no more, as the template if it can be one.

        The proof: another text in the place of its own is what the event says then.
        """
        piece = said.content or said.reasoning
        delta = Delta if said.content else _reasoning
        before, found, after = event.partition(f'"{piece}"')
        lead = event.find(payload)
        if not self._lessons or not piece or not found or lead < 0:  # nothing is said, or with escapes
            return
        self._lessons -= 1
        other = piece + "."
        with suppress(ValueError):
            if self._read(f'{before}"{other}"{after}') == [delta(other)]:
                self._before, self._after, self._delta = f'{before}"', after, delta
                self._lead, self._trail = lead, len(event) - lead - len(payload)


def _reasoning(text: str) -> Delta:
    return Delta("", text)
