"""Answers that were written down before: load tests ask the same thing again and again.

Only what cannot differ is kept: the answer's text and its bytes. Delays, ids, the time of creation,
the log and the metrics are made anew for every request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.plan import Plan

_ENTRIES = 256
_MARKS = 10_000  # requests that were seen once
_LONGEST_BODY = 16 * 1024
_MOST_STEPS = 512


@dataclass(slots=True)
class Written:
    """One answer, ready but for its id and its time."""

    made: Generation
    stream: bool
    parts: list[bytes]
    id: bytes
    created: int

    def again(self, new_id: str, now_s: int) -> list[bytes]:
        """The parts under a new id, created now."""
        if now_s != self.created:
            old, new = b'"created":%d' % self.created, b'"created":%d' % now_s
            self.parts = [part.replace(old, new) for part in self.parts]
            self.created = now_s
        wanted = new_id.encode()
        return [part.replace(self.id, wanted) if part else part for part in self.parts]


class Reuse:
    """The answers written last, by the body of their request and by what makes them what they are."""

    __slots__ = ("_seen", "_written")

    def __init__(self) -> None:
        self._written: OrderedDict[Hashable, Written] = OrderedDict()
        self._seen: set[int] = set()

    def get(self, key: Hashable) -> Written | None:
        """What was written under *key*."""
        return self._written.get(key)

    def put(self, body: bytes, key: Hashable, made: Generation, plan: Plan) -> None:
        """Keep what *plan* is to send, if it is small; *key* None: by the request alone."""
        if made.steps > _MOST_STEPS:
            return
        written = Written(made, plan.stream, plan.parts, made.id.encode(), made.created)
        if key is not None:
            self._keep(key, written)
        self.know(body, written)

    def know(self, body: bytes, written: Written) -> None:
        """Find *written* by the request too, once it comes again: most prompts never do."""
        if len(body) > _LONGEST_BODY:
            return
        mark = hash(body)
        if mark in self._seen:
            self._keep(body, written)
            return
        if len(self._seen) >= _MARKS:
            self._seen.clear()
        self._seen.add(mark)

    def clear(self) -> None:
        """Forget everything: rules have changed."""
        self._written.clear()
        self._seen.clear()

    def _keep(self, key: Hashable, written: Written) -> None:
        self._written[key] = written
        if len(self._written) > _ENTRIES:
            self._written.popitem(last=False)
