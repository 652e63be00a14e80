"""What a profile comes to: who begins when. Plans can be split over processes, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """A closed loop: each user runs the body, thinks, and runs it again."""

    starts_s: tuple[float, ...]  #: when each user begins, from the start of the run
    each: int | None = None  #: iterations of every user; None: as many as there is time for
    shared: int | None = None  #: iterations of all users together
    until_s: float | None = None  #: when nothing more begins

    def divisible(self, most: int) -> int:
        """Into how many parts it can be split, at most *most*, so that each has something to do."""
        return min(most, len(self.starts_s), self.shared or most)

    def shard(self, index: int, of: int) -> Users:
        """The *index*-th part of *of*, into which it is `divisible`: all users and iterations are in one."""
        shared = None if self.shared is None else _part(self.shared, index, of)
        return replace(self, starts_s=self.starts_s[index::of], shared=shared)

    def limited(self, iterations: int) -> Users:
        """The same for at most that many *iterations* together."""
        each = len(self.starts_s) * self.each if self.each is not None else None
        known = [count for count in (self.shared, each, iterations) if count is not None]
        return replace(self, starts_s=self.starts_s[: min(known)], each=None, shared=min(known))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """An open loop: an iteration begins at each of these times, whatever became of the earlier ones."""

    due_s: Sequence[float]  #: from the start of the run, ascending
    until_s: float | None = None
    max_concurrency: int | None = None  #: None: what the engine can bear

    def divisible(self, most: int) -> int:
        """Into how many parts it can be split, at most *most*, so that each has something to do."""
        return min(most, max(1, len(self.due_s)), self.max_concurrency or most)

    def shard(self, index: int, of: int) -> Arrivals:
        """The *index*-th part of *of*, into which it is `divisible`: every arrival is in exactly one."""
        most = None if self.max_concurrency is None else _part(self.max_concurrency, index, of)
        return replace(self, due_s=self.due_s[index::of], max_concurrency=most)

    def limited(self, iterations: int) -> Arrivals:
        """The first *iterations* of them."""
        return replace(self, due_s=self.due_s[:iterations])


Plan = Users | Arrivals


def _part(count: int, index: int, of: int) -> int:
    """The *index*-th of *of* whole parts of *count*, as equal as can be."""
    return count // of + (index < count % of)
