"""What happens on the workers of a Dask cluster: a look at what they have, and the meeting of the parts.

The process that makes the load knows nothing of Dask: it meets at a port of its own machine (`meeting.Host`),
and the Dask worker beside it passes on what is said there.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_llmperf.shards.meeting import GO, OVER, PATIENCE_S, Host, Words
from pytest_llmperf.shards.shard import Seat

#: In the environment of a worker: where the project is there, if it is not where the leading session has it.
PROJECT = "LLMPERF_PROJECT"

#: Seconds between two looks at what the leading session says, and between two words to it.
_EVERY_S = 1.0

#: A leading session without a pulse for so long is gone, and its parts end. So is a scheduler that does not
#: answer for so long: a process that is stopped, or a machine that is out of reach, keeps its connections.
SILENT_S = 30.0


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
        self.news = Queue(f"llmperf-{token}-news", client=client)  #: [part, words] for the leading session
        #: [count, orders]: it counts as long as the leading session lives; orders are [part or None, words].
        self.pulse = Variable(f"llmperf-{token}-pulse", client=client)
        self.begin = Event(f"llmperf-{token}-begin", client=client)

    def ask(self, question: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # Any: Dask's
        """What the scheduler answers to *question*, a method of Dask's; None when its own timeout is over.

        Raises OSError when the scheduler is gone, or does not answer.
        """

        async def answer() -> Any:
            with contextlib.suppress(TimeoutError):
                return await question(*arguments, **named)

        try:
            return self._client.sync(answer, callback_timeout=SILENT_S)
        except TimeoutError:
            raise TimeoutError(f"it did not answer within {SILENT_S:.0f} s") from None

    def started(self, index: int) -> Any:  # Any: a distributed.Event
        """Set when part *index* was started."""
        return self._event(f"llmperf-{self._token}-started-{index}", client=self._client)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMeeting:
    """A meeting of parts on many machines, at the scheduler that all of them reach."""

    token: str

    @contextlib.contextmanager
    def here(self, index: int) -> Iterator[Seat]:
        """On a Dask worker: a meeting at a port of this machine, that is part of the large one.

        Raises RuntimeError where Dask starts a part again, as it does when a worker dies.
        """
        from distributed import get_client  # noqa: PLC0415 - an extra

        names = Names(self.token, get_client())
        started = names.started(index)
        if names.ask(started.is_set):
            raise RuntimeError("Dask started this part a second time, in the middle of the run")
        names.ask(started.set)
        over = threading.Event()
        heard = Unpassed()
        with contextlib.closing(Host(lambda _, words: heard.add(words))) as host:
            relay = threading.Thread(target=_relay, args=(names, host, index, heard, over), daemon=True)
            relay.start()
            try:
                yield Seat(meeting=host.meeting, keeper=host.keeper(index))
            finally:
                over.set()
                relay.join(timeout=5.0)


class Unpassed:
    """What a part has said, and the leading session was not told yet; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: dict[str, Any] = {}

    def add(self, words: Words) -> None:
        """The last word counts, but no request that ended is lost."""
        with self._lock:
            known = self._words.get("ended", [])
            self._words |= words
            if known and "ended" in words:
                self._words["ended"] = [
                    [*before, *after] for before, after in zip(known, words["ended"], strict=True)
                ]

    def take(self) -> Words:
        """All of it, once."""
        with self._lock:
            words, self._words = self._words, {}
        return words


def _relay(names: Names, host: Host, index: int, heard: Unpassed, over: threading.Event) -> None:
    """Pass on what is said between a part and the leading session."""
    begun, felt, felt_s, orders = False, None, time.monotonic(), 0
    while not over.wait(_EVERY_S if begun else 0.0):
        try:
            if not begun and names.ask(names.begin.wait, timeout=_EVERY_S):
                host.say(GO)
                names.ask(names.news.put, [index, {"begun": True}])
                begun = True
            if words := heard.take():
                names.ask(names.news.put, [index, words])
            told = names.ask(names.pulse.get, timeout=_EVERY_S)
        except OSError:  # no scheduler
            told = None
        pulse, given = told or (felt, [])
        for to, words in given[orders:]:
            orders += 1
            if to in {None, index}:
                _obey(host, index, words)
        if pulse != felt:
            felt, felt_s = pulse, time.monotonic()
        if time.monotonic() - felt_s > SILENT_S:
            _obey(host, index, {"interrupt": PATIENCE_S})
            return


def _obey(host: Host, index: int, words: Words) -> None:
    if "stop" in words:
        host.say(words)
    if "interrupt" in words:
        host.say(OVER)
        host.keeper(index).interrupt(words["interrupt"])
    if "kill" in words:
        host.keeper(index).kill(words["kill"])
