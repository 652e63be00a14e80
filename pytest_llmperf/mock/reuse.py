"""Answers that were written down before: load tests ask the same thing again and again.

Only what cannot differ is kept: the answer's text and its bytes. Delays, ids, the time of creation,
the log and the metrics are made anew for every request.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from pytest_llmperf.mock.generation import Generation
from pytest_llmperf.mock.plan import Plan

_ENTRIES = 256
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
    """The answers written last, by the body of their request."""

    __slots__ = ("_written",)

    def __init__(self) -> None:
        self._written: OrderedDict[bytes, Written] = OrderedDict()

    def get(self, body: bytes) -> Written | None:
        """What was written for the same body."""
        return self._written.get(body)

    def put(self, body: bytes, made: Generation, plan: Plan) -> None:
        """Keep what *plan* is to send, if it is small."""
        if len(body) > _LONGEST_BODY or made.steps > _MOST_STEPS:
            return
        self._written[body] = Written(made, plan.stream, plan.parts, made.id.encode(), made.created)
        if len(self._written) > _ENTRIES:
            self._written.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: rules have changed."""
        self._written.clear()
