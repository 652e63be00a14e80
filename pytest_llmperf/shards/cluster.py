"""A Dask cluster whose workers carry out load profiles, from the side of the leading session."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_llmperf.client.redact import redact
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.shards.cluster_crew import ClusterCrew, Worker
from pytest_llmperf.shards.cluster_worker import PROJECT, digests, look

#: Seconds that a scheduler has to answer, and to have its first worker.
_PATIENCE_S = 5

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
        from distributed.comm import resolve_address  # noqa: PLC0415 - as above

        try:
            resolve_address(address)  # half a client is left behind, and heard of later, where this fails
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
        with contextlib.suppress(OSError):  # the scheduler does not answer
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
