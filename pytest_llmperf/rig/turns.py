"""Turns under xdist: one worker measures at a time, and what it spends is known to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pytest_llmperf.core.budget import Budget


@contextmanager
def turn(lock: Path | None, budget: Budget | None) -> Iterator[None]:
    """Hold the turn, at the file *lock*; there are no turns without one.

    *budget* is the session's, which all workers share.
    """
    if lock is None:
        yield
        return
    with FileLock(lock), _shared(budget, lock.with_name("spent")):
        yield


@contextmanager
def _shared(budget: Budget | None, path: Path) -> Iterator[None]:
    """What the workers have spent goes from one to the next, in the file *path*."""
    if budget is None:
        yield
        return
    if path.exists():
        budget.spent_usd, budget.dearest_usd = map(float, path.read_text("ascii").split())
    try:
        yield
    finally:
        path.write_text(f"{budget.spent_usd!r} {budget.dearest_usd!r}", "ascii")
