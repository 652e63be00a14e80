"""The handle of a recording relay that runs in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_llmperf.child_process.parent import ChildGoneError, start
from pytest_llmperf.client.observation import Observation
from pytest_llmperf.client.redact import redact
from pytest_llmperf.core.loopback import ADDRESS
from pytest_llmperf.relay.child import PROBE
from pytest_llmperf.relay.cost import Cost, Echo, measure_cost
from pytest_llmperf.relay.record import unpack
from pytest_llmperf.relay.upstream import Upstream

_STOP_S = 2.0
_ANSWER_S = 10.0


class RelayProcess:
    """A running relay. Ends with ``stop()``, or with this process.

    *cost* is what it adds to a request, measured when it started.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], *, first: str, placeholder: str) -> None:
        """Requests go to the upstream called *first* until `aim`. Raises LlmPerfUsageError."""
        self._path = secrets.token_urlsafe(12)
        self._aimed = first
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._takers: dict[str, Callable[[Observation], None]] = {}
        self._answered: dict[int, threading.Event] = {}
        self._gone = False  #: nobody will answer any more
        with Echo() as echo:
            told = {
                name: {"url": one.url, "authorization": dict(one.authorization), "connect_s": one.connect_s}
                for name, one in upstreams.items()
            }
            token = secrets.token_urlsafe(24)
            keys = [value for one in upstreams.values() for value in one.authorization.values()]
            self._secrets = [token, *keys]
            order = {
                "token": token,
                "path": self._path,
                "placeholder": placeholder,
                "upstream": first,
                "upstreams": {**told, PROBE: {"url": echo.url}},
            }
            self._child = start("pytest_llmperf.relay.child", order, what="the relay of llm_client")
            self._port: int = self._child.said["port"]
            self._control = socket.create_connection((ADDRESS, self._child.said["control"]))
            self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._control.sendall(token.encode() + b"\n")
            self._reader = threading.Thread(target=self._read, name="llm_client relay", daemon=True)
            self._reader.start()
            try:
                self.cost: Cost = measure_cost(echo.port, self._port, f"/{self._path}/{PROBE}/v1")
            except BaseException:
                self.stop()
                raise

    @property
    def pid(self) -> int:
        """The process it runs in."""
        return self._child.pid

    @property
    def origin(self) -> tuple[str, int]:
        """Host and port."""
        return ADDRESS, self._port

    def register(self, taker: Callable[[Observation], None], upstream: str | None) -> tuple[str, str]:
        """A tag, and the base URL whose requests *taker* is given, on another thread, when they are over.

        They go to *upstream*; None: to where the last `aim` says.
        """
        tag = f"{next(self._numbers)}.{upstream or ''}"
        self._takers[tag] = taker
        return tag, f"http://{ADDRESS}:{self._port}/{self._path}/{tag}/v1"

    def forget(self, tags: Sequence[str]) -> None:
        """What still comes from their URLs is relayed, and not recorded."""
        for tag in tags:
            self._takers.pop(tag, None)

    def settle(self, tags: Sequence[str] | None) -> None:
        """Wait until requests with *tags* (None: all) that are over were taken, a second at most."""
        self._ask({"settle": None if tags is None else list(tags)})

    def aim(self, upstream: str) -> None:
        """Requests go there from now on."""
        if upstream != self._aimed:
            self._ask({"upstream": upstream})
            self._aimed = upstream

    def stop(self) -> None:
        """End the process; harmless when it has ended."""
        with contextlib.suppress(OSError):
            self._control.close()
        self._child.stop()
        self._reader.join(_STOP_S)

    def _ask(self, order: dict[str, Any]) -> None:
        """Wait for the answer to *order*. Raises ChildGoneError when none can come."""
        number, answered = next(self._numbers), threading.Event()
        line = json.dumps({**order, "id": number}).encode() + b"\n"
        with self._lock:
            if not self._gone:
                self._answered[number] = answered
                with contextlib.suppress(OSError):  # the reader sees its end too
                    self._control.sendall(line)
        if not self._gone and not answered.wait(_ANSWER_S):
            raise ChildGoneError(f"the relay of llm_client has not answered for {_ANSWER_S:.0f} s")
        if self._gone:
            raise ChildGoneError(f"the relay of llm_client is gone: {self._last_words()}")

    def _last_words(self) -> str:
        return self._child.last_words(hide=lambda text: redact(text, self._secrets))

    def _read(self) -> None:
        try:
            self._take()
        finally:
            with self._lock:
                self._gone = True
                for answered in self._answered.values():
                    answered.set()

    def _take(self) -> None:
        """What comes, until its end."""
        with contextlib.suppress(OSError, ValueError), self._control.makefile("rb") as stream:
            while line := stream.readline():
                message = json.loads(line)
                if "answer" in message:
                    self._answered.pop(message["answer"]).set()
                    continue
                tag, seen = unpack(message, stream)
                taker = self._takers.get(tag)
                if taker is not None:
                    taker(seen)
