"""A Dask cluster whose workers carry out load profiles, from the side of the leading session."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmperf.client.redact import redact
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.shards.cluster_worker import PROJECT, ClusterMeeting, Names, digests, look
from pytest_llmperf.shards.meeting import Words
from pytest_llmperf.shards.shard import Meeting, Spec

#: Seconds that a scheduler has to answer, and to have its first worker.
_PATIENCE_S = 5

#: Seconds between two looks at who is still there.
_LOOK_S = 0.5

#: Parts that may have begun further apart than this are told of: the time line has seconds.
_UNEVEN_S = 1.0

_PACKAGE = "pytest-llmperf"


def check() -> None:
    """Raise LlmPerfUsageError where the extra is missing."""
    if importlib.util.find_spec("distributed") is None:
        raise LlmPerfUsageError(f"--llm-cluster needs Dask distributed: pip install '{_PACKAGE}[cluster]'")


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise LlmPerfUsageError where one of pytest's *arguments* holds a secret."""
    if any(redact(argument) != argument for argument in arguments):
        raise LlmPerfUsageError(
            "--llm-cluster: a key or password is among pytest's arguments, which go to every worker as "
            "they are: give it by an environment variable that the workers have too (api_key_env in "
            "slo.yaml)."
        )


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


class Cluster:
    """A cluster that a session is connected to."""

    def __init__(self, client: Any) -> None:  # Any: a distributed.Client, an extra
        self._client = client
        self._root = ""
        self.workers: tuple[Worker, ...] = ()

    @classmethod
    def connect(cls, address: str) -> Cluster:
        """The cluster whose scheduler is at *address*.

        Raises LlmPerfUsageError in one line when it does not answer within 5 s, or has no worker then.
        """
        from distributed import Client  # noqa: PLC0415 - an extra, and 1.5 s of import

        try:
            client = Client(address, timeout=_PATIENCE_S, set_as_default=False, name=_PACKAGE)
        except (OSError, ValueError) as error:
            raise LlmPerfUsageError(
                f"--llm-cluster: no Dask scheduler at {address}: {error}. "
                "Give the address that `dask scheduler` prints, such as tcp://10.0.0.5:8786."
            ) from None
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError:
            client.close()
            raise LlmPerfUsageError(
                f"--llm-cluster: the scheduler at {address} has no workers: start one on each machine with "
                f"`dask worker {address}`."
            ) from None
        return cls(client)

    def examine(self, *, root: Path, files: Sequence[Path], mock_url: str | None, parts: int | None) -> None:
        """Make sure that every worker can run a part of this session's load.

        *files* decide whether a worker has the project that is at *root* here. *mock_url* is that of this
        session's own mock server, if it is asked. *parts*: how many are wanted; None: one for each worker.

        Raises LlmPerfUsageError that names the worker.
        """
        known = self._client.scheduler_info(n_workers=-1)["workers"]
        workers = [
            Worker(address=address, name=str(told["name"]), threads=told["nthreads"])
            for address, told in sorted(known.items())
        ]
        self._same_version(workers)
        names = [str(path.relative_to(root)) for path in files if path.is_relative_to(root)]
        here = digests(str(root), names)
        sights = self._ask(look, str(root), names, mock_url)
        self._root = str(root)
        seen = []
        for worker in workers:
            sight = sights.get(worker.address)
            if sight is None or isinstance(sight, Exception):
                raise LlmPerfUsageError(f"--llm-cluster: worker {worker} did not answer: {sight!r}")
            _same_project(
                worker, sight.root, dict(zip(names, zip(here, sight.digests, strict=True), strict=True))
            )
            if mock_url is not None and not sight.reaches_mock:
                raise LlmPerfUsageError(
                    f"--llm-cluster: worker {worker} cannot reach this session's mock server at {mock_url}, "
                    "which listens on this machine alone: give a server that all machines reach, with "
                    "--llm-backend and --llm-url."
                )
            seen.append(
                Worker(address=worker.address, name=worker.name, threads=worker.threads, root=sight.root)
            )
        self.workers = tuple(seen)
        self._enough_threads(parts or len(seen))

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What each worker answers, by its address; an exception where it cannot."""
        answers: dict[str, Any] = self._client.run(question, *arguments, on_error="return")
        return answers

    def _same_version(self, workers: Sequence[Worker]) -> None:
        # A function of the standard library can be asked for where this package is missing.
        theirs, own = self._ask(importlib.metadata.version, _PACKAGE), own_version()
        for worker in workers:
            version = theirs.get(worker.address)
            if version != own:
                has = f"{_PACKAGE} {version}" if isinstance(version, str) else f"no {_PACKAGE}"
                raise LlmPerfUsageError(
                    f"--llm-cluster: worker {worker} has {has}, and this session {_PACKAGE} {own}: "
                    "install the same version on every worker."
                )

    def _enough_threads(self, parts: int) -> None:
        for number, worker in enumerate(self.workers):
            own = len(range(number, parts, len(self.workers)))
            if own > worker.threads:
                raise LlmPerfUsageError(
                    f"--llm-processes: {parts} parts on {len(self.workers)} workers are {own} at once on "
                    f"{worker}, which has room for {worker.threads}: start it with --nthreads {own}, "
                    "or ask for fewer."
                )

    def crew(self, count: int) -> ClusterCrew:
        """Those who carry out *count* parts of one load run."""
        return ClusterCrew(self._client, self.workers, count, root=self._root)

    def close(self) -> None:
        """Leave the cluster, which goes on."""
        self._client.close()


def own_version() -> str:
    """Of this package, as it is installed here."""
    return importlib.metadata.version(_PACKAGE)


def _same_project(worker: Worker, root: str, files: dict[str, tuple[str, str]]) -> None:
    for name, (here, there) in files.items():
        if not there:
            raise LlmPerfUsageError(
                f"--llm-cluster: worker {worker} has no {name} in {root}: put the project there, or set "
                f"{PROJECT} in the worker's environment to where it is."
            )
        if here != there:
            raise LlmPerfUsageError(
                f"--llm-cluster: worker {worker} has another {name} in {root} than this session: "
                "bring every worker to the same revision."
            )


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
        self._orders: list[tuple[int | None, Words]] = []
        self._names.pulse.set((0, []))
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
        self._names.begin.set()

    def stop(self, reason: str) -> None:
        """See `Crew`."""
        self._orders.append((None, {"stop": reason}))

    def interrupt(self, patience_s: float) -> None:
        """See `Crew`."""
        self._orders.append((None, {"interrupt": patience_s}))

    def kill(self, index: int | None, why: str) -> None:
        """See `Crew`; nobody waits for what is killed, since its machine may be out of reach."""
        if (index, {"kill": why}) not in self._orders:
            self._orders.append((index, {"kill": why}))
        self._workers.lose(index, why)

    def close(self) -> None:
        """See `Crew`."""
        self._closed.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._beat()
        self._workers.lose(None, "it was not waited for")
        self._workers.shutdown()

    def _watch(self) -> None:
        """Pass on what is said, and find out who is gone."""
        while not self._closed.is_set():
            try:
                self._beat()
                self._hear(*self._names.news.get(timeout=_LOOK_S))
            except TimeoutError:
                pass
            except OSError as error:
                self._workers.lose(None, f"the scheduler is gone: {error}")
                return
            self._workers.lose_others(self._client.nthreads())

    def _beat(self) -> None:
        self._names.pulse.set((time.monotonic(), list(self._orders)))

    def _hear(self, index: int, words: Words) -> None:
        if "begun" in words and self._asked_s is not None:
            self.apart_s = max(self.apart_s, time.monotonic() - self._asked_s)
        self.news.put((index, words))

    def _clean_up(self) -> None:
        with contextlib.suppress(OSError):
            if not any("kill" in words for _, words in self._orders):  # which nobody waited for
                self._names.pulse.delete()
            self._names.news.close()
            for event in (self._names.begin, *map(self._names.started, range(self._count))):
                event.clear()


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
