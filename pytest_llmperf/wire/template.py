"""Reads the events of a stream that differ in one string, many at once and without reading the rest again.

Nearly all events of a stream are the same bytes but for the piece of the answer that they bring. A reader
that has seen the same bytes is in the same state: an event that begins as an earlier one did, goes on with a
JSON string, and ends as that one did, says the same but for this string.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from contextlib import suppress

from pytest_llmperf.wire.events import Delta, Event, Texts
from pytest_llmperf.wire.json_value import loads

#: How many events of a stream are learned from, at most: in some streams none is like another.
_LESSONS = 3

#: Between the strings of two events, in one array. A string cannot have this line break in it: whatever
#: stands where a string should be, it swallows no neighbour.
_COMMA = b'",\n"'


class Template:
    """What the text events of one stream have in common."""

    def __init__(self, read: Callable[[bytes], list[Event]]) -> None:
        """*read* reads a JSON text, and raises ValueError where it cannot."""
        self._read = read
        self._before = self._after = b""
        self._lessons = _LESSONS
        self._reasoning = False
        self._known = False

    def texts(self, pieces: Sequence[bytes], start: int) -> Texts | None:
        """What the first of *pieces* from *start* on say, as many as are whole events like the known one.

        None where there is none.
        """
        if not self._known:
            return None
        before, after = self._before, self._after
        joint = after + before
        counts: list[int] = []
        for at in range(start, len(pieces)):  # what follows is not copied: a stream has many runs
            piece = pieces[at]
            size = len(piece)
            if not (piece.startswith(before) and piece.endswith(after) and size > len(joint)):
                break
            # two have room in it, or there is one
            counts.append(piece.count(joint) + 1 if size > 2 * len(joint) else 1)
        if not counts:
            return None
        some = b"".join(pieces[start : start + len(counts)])
        said = some[len(before) : -len(after)].replace(joint, _COMMA)
        with suppress(ValueError):
            texts = loads(f'["{said.decode()}"]')
            # what is more than a string makes them more
            if isinstance(texts, list) and len(texts) == sum(counts) and all(texts):
                return Texts(texts, counts, self._reasoning)
        self._known = False  # what begins and ends alike is not alike: it is learned anew, or no more
        return None

    def learn(self, event: bytes, payload: bytes, said: Delta) -> None:
        """Take *event*, whose JSON text *payload* says *said* and no more, as the template if it can be one.

        The proof: another text in the place of its own is what the event says then.
        """
        piece = said.content or said.reasoning
        if not self._lessons or not piece or event.count(payload) != 1:
            return
        self._lessons -= 1
        other = Texts([piece + "."], [1], reasoning=not said.content)
        with suppress(ValueError):  # of a text that is no Unicode, or of an event that is not read any more
            before, found, after = payload.partition(b'"%s"' % piece.encode())
            # where it is not found it stands there with escapes
            if found and self._read(before + b'"%s."' % piece.encode() + after) == other.deltas:
                lead, _, trail = event.removeprefix(BOM_UTF8).partition(payload)
                self._before, self._after = lead + before + b'"', b'"' + after + trail
                self._reasoning, self._known = other.reasoning, True
