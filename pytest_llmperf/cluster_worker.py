"""What happens on the workers of a Dask cluster: a look at what they have, and the meeting of the parts.

The process that makes the load knows nothing of Dask: it meets at a port of its own machine (`shard.Host`),
and the Dask worker beside it passes on what is said there.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_llmperf.shard import Host, LoopbackMeeting

#: In the environment of a worker: where the project is there, if it is not where the leading session has it.
PROJECT = "LLMPERF_PROJECT"

#: What the leading session's pulse says at the end.
END = -1

#: A leading session without a pulse for so long is gone, and its parts end.
_SILENT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a worker has."""

    root: str  #: of the project
    digests: tuple[str, ...]  #: of the files asked for; empty where there is none
    reaches_mock: bool


def look(root: str, files: Sequence[str], mock_url: str | None) -> Sight:
    """What this worker has of the project that the leading session has at *root*, and of its mock server."""
    own = os.environ.get(PROJECT) or root
    return Sight(
        root=own,
        digests=digests(own, files),
        reaches_mock=mock_url is not None and _is_mock(mock_url),
    )


def digests(root: str, files: Sequence[str]) -> tuple[str, ...]:
    """A digest of the content of each of *files* under *root*; empty where there is none."""
    paths = [Path(root) / name for name in files]
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths)


def _is_mock(url: str) -> bool:
    """Whether the mock server answers here: it is the one that asks for its token."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2.0)
    try:
        connection.request("POST", "/_mock/reset")
        return b"x-mock-token" in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Names:
    """What the leading session and its parts share at the scheduler."""

    def __init__(self, token: str, client: Any) -> None:  # Any: a distributed.Client, an extra
        from distributed import Event, Queue, Variable  # noqa: PLC0415 - an extra

        self._token, self._client, self._event = token, client, Event
        self.news = Queue(f"llmperf-{token}-news", client=client)  #: (word, part) for the leading session
        self.pulse = Variable(f"llmperf-{token}-pulse", client=client)  #: counts as long as it lives
        self.begin = Event(f"llmperf-{token}-begin", client=client)

    def started(self, index: int) -> Any:  # Any: a distributed.Event
        """Set when part *index* was started."""
        return self._event(f"llmperf-{self._token}-started-{index}", client=self._client)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMeeting:
    """A meeting of parts on many machines, at the scheduler that all of them reach."""

    token: str

    @contextlib.contextmanager
    def here(self, index: int) -> Iterator[LoopbackMeeting]:
        """On a Dask worker: a meeting at a port of this machine, that is part of the large one.

        Raises RuntimeError where Dask starts a part again, as it does when a worker dies.
        """
        from distributed import get_client  # noqa: PLC0415 - an extra

        names = Names(self.token, get_client())
        if names.started(index).is_set():
            raise RuntimeError("Dask started this part a second time, in the middle of the run")
        names.started(index).set()
        over = threading.Event()
        with contextlib.closing(Host([index], all_here=lambda: names.news.put(["ready", index]))) as host:
            relay = threading.Thread(target=_relay, args=(names, host, index, over), daemon=True)
            relay.start()
            try:
                yield host.meeting
            finally:
                over.set()
                relay.join(timeout=5.0)


def _relay(names: Names, host: Host, index: int, over: threading.Event) -> None:
    """Pass on to *host* when to begin, and when to end early."""
    begun, pulse, felt_s = False, None, time.monotonic()
    while not over.wait(1.0 if begun else 0.0):
        try:
            if not begun and names.begin.wait(timeout=1.0):
                host.begin()
                names.news.put(["begun", index])
                begun = True
            felt = names.pulse.get(timeout=1.0)
        except OSError:  # no scheduler, or no pulse yet
            felt = pulse
        if felt != pulse:
            pulse, felt_s = felt, time.monotonic()
        if felt == END or time.monotonic() - felt_s > _SILENT_S:
            host.close()
            return
