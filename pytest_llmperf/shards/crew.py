"""Who carries out the parts of a load run: processes of this machine, or the workers of a `cluster`."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol

from pytest_llmperf.shards.meeting import GO, OVER, Host, Words
from pytest_llmperf.shards.shard import Meeting, Seat


class Crew(Protocol):
    """Those who carry out the parts of one load run."""

    executor: Executor
    meeting: Meeting
    news: queue.SimpleQueue[tuple[int, Words]]  #: what the parts say, see `meeting`

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of the samples, at the end."""
        ...

    def begin(self) -> None:
        """Give the word to go: all who are to come are there."""
        ...

    def stop(self, reason: str) -> None:
        """No part begins another iteration."""
        ...

    def interrupt(self, patience_s: float) -> None:
        """Ctrl-C for every part, which has so long to hand over what it has."""
        ...

    def kill(self, index: int | None, why: str) -> None:
        """The end of one part, or of all, at once."""
        ...

    def close(self) -> None:
        """All parts are over."""
        ...


class _Here:
    """The meeting of parts that are all in the hands of this process."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @contextlib.contextmanager
    def here(self, index: int) -> Iterator[Seat]:
        """See `Meeting`."""
        yield Seat(meeting=self._host.meeting, keeper=self._host.keeper(index))


class LocalCrew:
    """Runs parts on this machine: a thread for each waits for its process."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.news: queue.SimpleQueue[tuple[int, Words]] = queue.SimpleQueue()
        self._host = Host(lambda part, words: self.news.put((part, words)))
        self.executor: Executor = ThreadPoolExecutor(max_workers=count)
        self.meeting: Meeting = _Here(self._host)
        self.remarks: tuple[str, ...] = ()

    def begin(self) -> None:
        """See `Crew`."""
        self._host.say(GO)

    def stop(self, reason: str) -> None:
        """See `Crew`."""
        self._host.say({"stop": reason})

    def interrupt(self, patience_s: float) -> None:
        """See `Crew`."""
        self._host.say(OVER)
        for index in range(self._count):
            self._host.keeper(index).interrupt(patience_s)

    def kill(self, index: int | None, why: str) -> None:
        """See `Crew`."""
        for one in range(self._count) if index is None else (index,):
            self._host.keeper(one).kill(why)

    def close(self) -> None:
        """See `Crew`."""
        self._host.say(OVER)
        self.executor.shutdown()
        self._host.close()
