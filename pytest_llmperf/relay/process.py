"""The handle of a recording relay that runs in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_llmperf.client.observation import Observation
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.relay.child import PROBE
from pytest_llmperf.relay.cost import Cost, Echo, measure_cost
from pytest_llmperf.relay.record import unpack
from pytest_llmperf.relay.upstream import Upstream

_STOP_S = 2.0
_ANSWER_S = 10.0
_PACKAGE = Path(__file__).resolve().parents[1]
# The package's own __init__ brings pytest along, which the relay has no use for: a bare package stands in.
_PROGRAM = (
    "import sys, types; package = types.ModuleType('pytest_llmperf'); "
    f"package.__path__ = [{str(_PACKAGE)!r}]; sys.modules['pytest_llmperf'] = package; "
    "from pytest_llmperf.relay.child import run_child; run_child()"
)


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
        with Echo() as echo:
            told = {
                name: {"url": one.url, "authorization": dict(one.authorization), "connect_s": one.connect_s}
                for name, one in upstreams.items()
            }
            token = secrets.token_urlsafe(24)
            order = {
                "token": token,
                "path": self._path,
                "placeholder": placeholder,
                "upstream": first,
                "upstreams": {**told, PROBE: {"url": echo.url}},
            }
            self._process, said = _start(order)
            self._port: int = said["port"]
            self._control = socket.create_connection(("127.0.0.1", said["control"]))
            self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._control.sendall(token.encode() + b"\n")
            self._reader = threading.Thread(target=self._read, name="llm_client relay", daemon=True)
            self._reader.start()
            self.cost: Cost = measure_cost(echo.port, self._port, f"/{self._path}/{PROBE}/v1")

    @property
    def pid(self) -> int:
        """The process it runs in."""
        return self._process.pid

    @property
    def origin(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self._port

    def register(self, taker: Callable[[Observation], None], upstream: str | None) -> tuple[str, str]:
        """A tag, and the base URL whose requests *taker* is given, on another thread, when they are over.

        They go to *upstream*; None: to where the last `aim` says.
        """
        tag = f"{next(self._numbers)}.{upstream or ''}"
        self._takers[tag] = taker
        return tag, f"http://127.0.0.1:{self._port}/{self._path}/{tag}/v1"

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
        for sock_or_pipe in (self._control, self._process.stdin):
            if sock_or_pipe is not None:
                with contextlib.suppress(OSError):
                    sock_or_pipe.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_STOP_S)

    def _ask(self, order: dict[str, Any]) -> None:
        number, answered = next(self._numbers), threading.Event()
        self._answered[number] = answered
        line = json.dumps({**order, "id": number}).encode() + b"\n"
        try:
            with self._lock:
                self._control.sendall(line)
        except OSError as error:
            raise RuntimeError(f"the relay of llm_client is gone: {error}") from error
        if not answered.wait(_ANSWER_S):
            raise RuntimeError("the relay of llm_client does not answer")

    def _read(self) -> None:
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
        for answered in list(self._answered.values()):
            answered.set()  # nobody will answer any more


def _start(order: Mapping[str, Any]) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """The process, and what it says first. Raises LlmPerfUsageError."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=os.name == "posix",  # Ctrl-C reaches the parent, which then stops it in order
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
            with process.stdout as stdout:
                line = stdout.readline()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if not line:
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()
            errors.seek(0)
            reason = errors.read().decode("utf-8", "replace").strip()[-2000:]
            raise LlmPerfUsageError(
                f"the relay of llm_client did not start: {reason or 'no reason was given'}"
            )
    said: dict[str, Any] = json.loads(line)
    return process, said
