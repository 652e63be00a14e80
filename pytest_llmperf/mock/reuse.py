"""Answers that were written down before: load tests ask the same thing again and again.

Only what cannot differ is kept: the answer's text and its bytes. Delays, ids, the time of creation,
the log and the metrics are made anew for every request. Lengths stay as they were, therefore those of ids do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from pytest_llmperf.mock.generation import Generation

_ENTRIES = 256
_MARKS = 10_000  # requests that were seen once
_LONGEST_BODY = 16 * 1024
_LARGEST = 128 * 1024  # bytes of an answer
_SEAM = b"\0"  # between the parts of a stream; JSON has no such byte


class Written:
    """One answer, ready but for its id and its time."""

    __slots__ = ("_created", "_headed", "_headed_s", "_pieces", "made", "size", "stream")

    def __init__(self, made: Generation, parts: Sequence[bytes], *, stream: bool) -> None:
        self.made = made
        self.stream = stream
        self.size = sum(map(len, parts))  #: bytes of the body
        self._created = made.created
        self._pieces = _SEAM.join(parts).split(made.id.encode())  # the id stands between them
        self._headed: list[bytes] = []  # the same with a head and without seams
        self._headed_s = 0  # the second that they are of

    def parts(self, new_id: bytes, now_s: int) -> list[bytes]:
        """What is sent, by step of the engine, under a new id, created now."""
        self._date(now_s)
        return new_id.join(self._pieces).split(_SEAM)

    def whole(self, new_id: bytes, now_s: int, head: Callable[[], bytes]) -> bytes:
        """All of it as one, after *head*, which is asked once a second."""
        if now_s != self._headed_s:
            self._date(now_s)
            first, *rest = (piece.replace(_SEAM, b"") for piece in self._pieces)
            self._headed, self._headed_s = [head() + first, *rest], now_s
        return new_id.join(self._headed)

    def _date(self, now_s: int) -> None:
        if now_s != self._created:
            old, new = b'"created":%d' % self._created, b'"created":%d' % now_s
            self._pieces = [piece.replace(old, new) for piece in self._pieces]
            self._created = now_s


class Reuse:
    """The answers written last, by the body of their request and by what makes them what they are."""

    __slots__ = ("_seen", "_written", "get")

    def __init__(self) -> None:
        self._written: OrderedDict[Hashable, Written] = OrderedDict()
        self._seen: set[int] = set()
        self.get = self._written.get  #: what was written under a key, or None

    def put(
        self,
        body: bytes,
        key: Hashable,
        made: Generation,
        parts: Sequence[bytes],
        *,
        stream: bool,
    ) -> None:
        """Keep what is to be sent, if it is small; *key* None: by the request alone."""
        again = self._comes_again(body)
        if key is None and not again:
            return
        if sum(map(len, parts)) > _LARGEST or any(choice.tool_calls for choice in made.choices):
            return  # tool calls have ids of their own
        written = Written(made, parts, stream=stream)
        if key is not None:
            self._keep(key, written)
        if again:
            self._keep(body, written)

    def know(self, body: bytes, written: Written) -> None:
        """Find *written* by the request too, once it comes again: most prompts never do."""
        if self._comes_again(body):
            self._keep(body, written)

    def _comes_again(self, body: bytes) -> bool:
        if len(body) > _LONGEST_BODY:
            return False
        mark = hash(body)
        if mark in self._seen:
            return True
        if len(self._seen) >= _MARKS:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def clear(self) -> None:
        """Forget everything: rules have changed."""
        self._written.clear()
        self._seen.clear()

    def _keep(self, key: Hashable, written: Written) -> None:
        self._written[key] = written
        if len(self._written) > _ENTRIES:
            self._written.popitem(last=False)
