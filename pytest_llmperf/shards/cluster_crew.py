"""The workers of a Dask cluster, while they carry out the parts of one load run."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from pytest_llmperf.shards.cluster_worker import ClusterMeeting, Names
from pytest_llmperf.shards.meeting import Words
from pytest_llmperf.shards.shard import Meeting, Spec

#: Seconds between two looks at who is still there.
_LOOK_S = 0.5

#: Seconds that the scheduler has for the last answer, at the end of a load.
_PATIENCE_S = 5

#: Seconds that a part which is killed has to come with what it had handed over before.
_KILLED_S = 3.0

#: Parts that may have begun further apart than this are told of: the time line has seconds.
_UNEVEN_S = 1.0


class WorkerGoneError(Exception):
    """A part is lost with its worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker of the cluster."""

    address: str
    name: str
    threads: int  #: so many parts at once
    root: str = ""  #: of the project there

    def __str__(self) -> str:
        return self.address if self.name == self.address else f"{self.name} ({self.address})"


class ClusterCrew:
    """The workers, while they carry out the parts of one load run."""

    def __init__(self, client: Any, workers: Sequence[Worker], count: int, *, root: str) -> None:
        token = secrets.token_hex(8)
        self._names = Names(token, client)
        self.meeting: Meeting = ClusterMeeting(token=token)
        self.news: queue.SimpleQueue[tuple[int, Words]] = queue.SimpleQueue()
        self._client = client
        self._asked_s: float | None = None  #: when the word to begin was given
        self.apart_s = 0.0  #: the parts began within so many seconds: until the last of them had said so
        self._closed = threading.Event()
        self._gone = False  #: whether the scheduler is
        self._orders: list[tuple[int | None, Words]] = []
        self._names.ask(self._names.pulse.set, (0, []))
        self._workers = OnWorkers(client, workers, root=root, done=self._clean_up)
        self.executor: Executor = self._workers
        self._count = count
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def remarks(self) -> tuple[str, ...]:
        """See `Crew`."""
        if self.apart_s < _UNEVEN_S:
            return ()
        return (f"the parts may have begun {self.apart_s:.1f} s apart: the network to the scheduler is slow",)

    def begin(self) -> None:
        """See `Crew`."""
        self._asked_s = time.monotonic()
        with contextlib.suppress(OSError):  # `_watch` finds out who is gone
            self._names.ask(self._names.begin.set)

    def stop(self, reason: str) -> None:
        """See `Crew`."""
        self._orders.append((None, {"stop": reason}))

    def interrupt(self, patience_s: float) -> None:
        """See `Crew`."""
        self._orders.append((None, {"interrupt": patience_s}))

    def kill(self, index: int | None, why: str) -> None:
        """See `Crew`; what does not come then is lost, since its machine may be out of reach."""
        if any(to == index and "kill" in words for to, words in self._orders):
            return
        self._orders.append((index, {"kill": why}))
        late = threading.Timer(_KILLED_S, self._workers.lose, (index, why))
        late.daemon = True
        late.start()

    def close(self) -> None:
        """See `Crew`."""
        self._closed.set()
        self._thread.join(_PATIENCE_S)
        self._gone = self._gone or self._thread.is_alive()  # it waits for an answer
        if not self._gone:
            with contextlib.suppress(OSError):
                self._beat()
        self._workers.lose(None, "it was not waited for")
        self._workers.shutdown()

    def _watch(self) -> None:
        """Pass on what is said, and find out who is gone."""
        while not self._closed.is_set():
            try:
                self._beat()
                if (told := self._names.ask(self._names.news.get, timeout=_LOOK_S)) is not None:
                    self._hear(*told)
                present = self._names.ask(self._client.nthreads)
            except OSError as error:
                self._gone = True
                self._workers.lose(None, f"the scheduler is gone: {error}")
                return
            self._workers.lose_others(present)

    def _beat(self) -> None:
        self._names.ask(self._names.pulse.set, (time.monotonic(), list(self._orders)))

    def _hear(self, index: int, words: Words) -> None:
        if "begun" in words and self._asked_s is not None:
            self.apart_s = max(self.apart_s, time.monotonic() - self._asked_s)
        self.news.put((index, words))

    def _clean_up(self) -> None:
        if self._gone:
            return
        with contextlib.suppress(OSError):
            if not any("kill" in words for _, words in self._orders):  # which nobody waited for
                self._names.pulse.delete()
            self._names.news.close()
            for event in (self._names.begin, *map(self._names.started, range(self._count))):
                self._names.ask(event.clear)


class OnWorkers(Executor):
    """Dask's own executors, one for each worker, that take turns: a part never moves to another worker."""

    def __init__(
        self, client: Any, workers: Sequence[Worker], *, root: str, done: Callable[[], object]
    ) -> None:
        self._turns = [
            (worker, client.get_executor(workers=[worker.address], pure=False, retries=0))
            for worker in workers
        ]
        self._root = root
        self._done = done
        self._given: list[tuple[Future[Any], Worker, Future[Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have the next worker call *fn*; a `Spec` is made to fit the place of the project there."""
        worker, executor = self._turns[len(self._given) % len(self._turns)]
        fitting = [arg.moved(self._root, worker.root) if isinstance(arg, Spec) else arg for arg in args]
        theirs, ours = executor.submit(fn, *fitting, **kwargs), Future[Any]()
        self._given.append((ours, worker, theirs))
        theirs.add_done_callback(lambda future: _pass_on(future, ours, worker))
        return ours

    def lose_others(self, present: Any) -> None:
        """Whatever runs on a worker that is not *present* is lost."""
        for future, worker, theirs in self._given:
            if worker.address not in present and not future.done():
                _settle(future, error=WorkerGoneError(f"the worker {worker} is gone"))
                theirs.cancel()

    def lose(self, index: int | None, why: str) -> None:
        """What was submitted as *index*, or all of it, is lost if it still runs."""
        for number, (future, _, theirs) in enumerate(self._given):
            if index in {None, number} and not future.done():
                _settle(future, error=WorkerGoneError(why))
                theirs.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the interface
        """Wait for what was submitted."""
        if wait:
            futures.wait([future for future, _, _ in self._given])
        self._done()


def _pass_on(theirs: Future[Any], ours: Future[Any], worker: Worker) -> None:
    if theirs.cancelled():
        _settle(ours, error=WorkerGoneError(f"the worker {worker} is gone, or the scheduler is"))
    elif (error := theirs.exception()) is not None:
        _settle(ours, error=WorkerGoneError(f"on {worker}: {type(error).__name__}: {error}"))
    else:
        _settle(ours, value=theirs.result())


def _settle(future: Future[Any], *, value: Any = None, error: BaseException | None = None) -> None:
    """Give *future* its result, unless it has one."""
    with contextlib.suppress(Exception):  # InvalidStateError: another thread was faster
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
