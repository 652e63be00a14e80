"""The process that the recording relay runs in.

A relay in a thread of the test's process would wait for the interpreter lock whenever the client under
test computes: milliseconds at a time. Here it only forwards and keeps what passed; the process that
measures reads it when an iteration is over.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

from pytest_llmperf.child_process.child import say, take_order, until_the_parent_ends
from pytest_llmperf.client.observation import Observation
from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.core.loopback import ADDRESS
from pytest_llmperf.relay.record import pack
from pytest_llmperf.relay.server import Relay, Route
from pytest_llmperf.relay.upstream import Upstream
from pytest_llmperf.relay.watch import RelayedRequest, Watch
from pytest_llmperf.undisturbed import spare_pauses
from pytest_llmperf.wire.dialects import kind_of

PROBE = "probe"  #: the upstream, and the first word of the path, that measure the relay itself
_SETTLE_S = 1.0


def run_child() -> None:
    """Relay as standard input says in one line, until standard input ends.

    The answer is one line of JSON on standard output: ``{"port": ..., "control": ...}``.
    """
    parent = os.getppid()
    asyncio.run(_serve(take_order(), parent))


async def _serve(order: Mapping[str, Any], parent: int) -> None:
    recorder = Recorder(order)
    port = await recorder.relay.open()
    loop = asyncio.get_running_loop()
    control = await loop.create_server(lambda: Control(recorder), ADDRESS, 0)
    spare_pauses()
    say({"port": port, "control": control.sockets[0].getsockname()[1]})
    await until_the_parent_ends(parent)
    recorder.relay.close()


class Recorder:
    """The relay, and what of it the other process is to know."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        upstreams = {name: Upstream(**upstream) for name, upstream in order["upstreams"].items()}
        self._names = set(upstreams)
        self.token: str = order["token"]
        self.upstream: str = order["upstream"]  #: where requests go now
        self.listener: Control | None = None
        self._path = f"/{order['path']}/"
        self._open: dict[_Recording, None] = {}
        self._waiting: list[tuple[set[str] | None, asyncio.Future[None]]] = []
        self.relay = Relay(upstreams, self._route, self._observe, placeholder=order["placeholder"])

    async def settle(self, tags: set[str] | None) -> None:
        """Wait until no request with one of *tags* (None: any) is under way, but not for long."""
        if self._busy(tags):
            over = asyncio.get_running_loop().create_future()
            self._waiting.append((tags, over))
            await asyncio.wait([over], timeout=_SETTLE_S)
            self._waiting = [(wanted, other) for wanted, other in self._waiting if other is not over]

    def ended(self, recording: _Recording) -> None:
        """Hand over what was seen of one exchange."""
        del self._open[recording]
        if self.listener is not None:
            self.listener.transport.write(pack(recording, recording.tag))
        for tags, over in self._waiting:
            if not over.done() and not self._busy(tags):
                over.set_result(None)

    def _busy(self, tags: set[str] | None) -> bool:
        return any(tags is None or recording.tag in tags for recording in self._open)

    def _route(self, target: str) -> Route | None:
        if not target.startswith(self._path):
            return None
        tag, slash, rest = target[len(self._path) :].partition("/")
        upstream = PROBE if tag == PROBE else tag.partition(".")[2] or self.upstream
        return Route(upstream=upstream, target=slash + rest, tag=tag) if upstream in self._names else None

    def _observe(self, request: RelayedRequest) -> Watch | None:
        if request.method != "POST" or kind_of(request.target) is None:
            return None  # it asks no model
        recording = _Recording(self, request)
        self._open[recording] = None
        return recording


class _Recording(Observation):
    """Keeps what passes, and hands it over at the end."""

    def __init__(self, recorder: Recorder, request: RelayedRequest) -> None:
        super().__init__(target=request.target, body=request.body, began_s=request.began_s)
        self.tag = request.tag
        self._recorder = recorder

    __hash__ = object.__hash__

    def end(self, at_s: float, failure: FailureKind | None = None, message: str = "") -> None:
        """It is over."""
        super().end(at_s, failure, message)
        self._recorder.ended(self)


class Control(asyncio.Protocol):
    """The connection to the process that measures: lines of JSON in, records and answers out."""

    transport: asyncio.Transport

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._received = b""
        self._trusted = False
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Lines."""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            if self._trusted:
                self._obey(json.loads(line))
            elif compare_digest(line, self._recorder.token.encode()):
                self._trusted = True
                self._recorder.listener = self
            else:
                self.transport.abort()
                return
        if not self._trusted and len(self._received) > 1000:
            self.transport.abort()

    def _obey(self, order: Mapping[str, Any]) -> None:
        if "upstream" in order:
            self._recorder.upstream = order["upstream"]
            self._answer(order["id"])
        else:
            tags = None if order["settle"] is None else set(order["settle"])
            task = asyncio.get_running_loop().create_task(self._settle(tags, order["id"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _settle(self, tags: set[str] | None, number: int) -> None:
        await self._recorder.settle(tags)
        self._answer(number)

    def _answer(self, number: int) -> None:
        self.transport.write(json.dumps({"answer": number}).encode() + b"\n")
