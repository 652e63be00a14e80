"""The mock server: requests in, answers out, at the promised time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.config import MockConfig
from pytest_llmperf.mock.connection import Connection
from pytest_llmperf.mock.control import PREFIX, Control
from pytest_llmperf.mock.dialect import Dialect, to_bytes
from pytest_llmperf.mock.dialects import DIALECTS
from pytest_llmperf.mock.head import Heads
from pytest_llmperf.mock.openai_ask import Limits
from pytest_llmperf.mock.parcel import Outbox
from pytest_llmperf.mock.reading import make_reading
from pytest_llmperf.mock.replay import load_replay
from pytest_llmperf.mock.replaying import Replaying
from pytest_llmperf.mock.routes import routes_of
from pytest_llmperf.mock.state import State
from pytest_llmperf.mock.telling import ONE_MODEL
from pytest_llmperf.mock.timers import Timers


class Mock:
    """One mock server: its state, its routes, and how answers are put together."""

    def __init__(
        self,
        config: MockConfig,
        *,
        loop: asyncio.AbstractEventLoop,
        token: str | None = None,
        refuse: Callable[[float], None] = lambda _: None,
        accept: Callable[[], None] = lambda: None,
    ) -> None:
        # first, as it may fail: nothing is open yet
        self._recorded = None if config.replay is None else load_replay(config.replay, speed=config.speed)
        self.timers = Timers(loop)
        self.outbox = Outbox(loop)
        self._reading = make_reading(loop)
        self.config = config
        self.refuse_for = refuse
        self._accept = accept
        self.peers: set[Connection] = set()
        self._holders: set[Connection] = set()
        self._heads = Heads()
        self.dialect: Dialect = DIALECTS[config.dialect]
        self._routes = routes_of(self)
        self._direct = {
            (method, path.encode()): route
            for path, methods in self._routes.items()
            for method, route in methods.items()
        }
        self._replaying = Replaying(self)
        self.control = (
            None
            if token is None
            else Control(lambda: self.state, token=token, reset=self.reset, refuse=refuse, fail=self.fail)
        )
        self.reset()

    def reset(self) -> None:
        """Start again as configured."""
        if self._recorded is not None:
            self._recorded.reset()
        self.state = State(self.config, self._recorded)
        self.limits = Limits(
            default_model=self.state.models[0],
            models=self.config.models,
            max_model_len=self.config.max_model_len,
            user_marker=self.config.user_marker,
            lenient=self.dialect.lenient,
            demands=self.dialect.demands,
        )
        self.plain_engine = self.config.capacity is None
        self._accept()

    def serve(self, models: tuple[str, ...]) -> None:
        """List *models* from now on, until the next reset; where any name was answered, it still is."""
        self.state.models = models
        if self.limits.models:
            self.limits = replace(self.limits, models=models)
        self.state.reuse.clear()

    def connection(self) -> Connection:
        """A protocol for one more client."""
        return self._connection(self.peers)

    def control_connection(self) -> Connection:
        """A protocol for the process that holds the server; it stays when clients are cut."""
        return self._connection(self._holders)

    def cut_clients(self) -> None:
        """Reset all connections of clients."""
        for peer in list(self.peers):
            peer.cut(reset=True)

    def close(self) -> None:
        """Cut everybody and stop the timers."""
        for peer in [*self.peers, *self._holders]:
            peer.transport.abort()
        self.timers.close()
        if self._reading is not None:
            self._reading.close()

    def _connection(self, peers: set[Connection]) -> Connection:
        return Connection(
            on_call=self._answer,
            on_finished=self._finished,
            refuse=self._refusal,
            peers=peers,
            heads=self._heads,
            reading=self._reading,
        )

    # --- one request

    def _answer(self, call: Call) -> None:
        """Answer *call*; whatever goes wrong becomes an answer too."""
        try:
            route = self._direct.get((call.head.method, call.head.target))
            if route is not None and self.state.replay is None:
                route(call)
            else:
                self._answer_other(call)
        except Exception as error:  # noqa: BLE001 - no request may take the server down
            self.fail(call, error)

    def _answer_other(self, call: Call) -> None:
        """Answer what is control, recorded, asked with a query, or no route at all."""
        path = _path_of(call.target)
        methods = self._routes.get(ONE_MODEL if path.startswith(ONE_MODEL) else path)
        if self.control is not None and call.target.startswith(PREFIX):
            self._controlled(call, self.control)
        elif self.state.replay is not None and self._replaying.answer(call, self.state.replay, methods):
            pass
        elif methods is not None:
            route = methods.get(call.method)
            if route is not None:
                route(call)
            else:
                status, body = self.dialect.not_allowed(call.method, path)
                self._send_unread(
                    call, status, body, {"allow": ", ".join(methods)} if status == 405 else None
                )
        elif self.dialect.redirects and (other := _other_slash(path)) in self._routes:
            self._redirect(call, other)
        else:
            status, body = self.dialect.not_found(call.method, path)
            self._send_unread(call, status, body)

    def _send_unread(self, call: Call, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
        """The answer to a request that nobody reads; a server that says it closes then does so."""
        if self.dialect.errors_say_close and call.body:
            call.keep_alive = False
        self.send(call, status, body, content_type=self.dialect.lost_type, extra=extra)

    def _redirect(self, call: Call, path: str) -> None:
        """To *path*, with the query that the request had."""
        host = (call.header(b"host") or b"127.0.0.1").decode("latin-1")
        query = call.target.partition(b"?")[2].decode("latin-1")
        location = f"http://{host}{path}" + (f"?{query}" if query else "")
        self.send(call, 307, b"", content_type=b"", extra={"location": location})

    def fail(self, call: Call, error: Exception) -> None:
        """The answer that *error* is: a refusal as it says, anything else as a defect of the server."""
        if not isinstance(error, Refusal):
            text = f"{type(error).__name__} in the mock"
            error = Refusal(status=500, message=text, type="InternalServerError")
        self.refuse(call, error)

    def refuse(self, call: Call, refused: Refusal, extra: dict[str, str] | None = None) -> None:
        """The error *refused* as the answer."""
        status, body = self.in_words(call, refused)
        kind = ollama.JSON if _is_native(call) else self.dialect.json_type
        self.send(call, status, body, content_type=kind, extra=extra)

    def in_words(self, call: Call, refused: Refusal) -> tuple[int, bytes]:
        """Status and body of an error, as the server puts it on that path."""
        return (ollama.refusal if _is_native(call) else self.dialect.refusal)(refused)

    def _controlled(self, call: Call, control: Control) -> None:
        result = control.handle(call)
        if result is not None:
            self.send(call, result[0], to_bytes(result[1]))

    def _finished(self, call: Call) -> None:
        if call.number < 0 and call.target.startswith((PREFIX, b"/metrics")):
            return  # who looks at the server asks nothing of it
        if call.arrived_ns >= self.state.started_ns:  # else it belongs to the time before the reset
            self.state.journal.add(call)
        if (state := call.counted) is not None:
            state.running -= 1
            if call.delivery is not None and (facts := call.delivery.finished()) is not None:
                state.metrics.add(facts)
            call.delivery = call.counted = None

    # --- sending

    def send(
        self,
        call: Call,
        status: int,
        body: bytes,
        *,
        content_type: bytes | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        """A whole answer, now."""
        call.status = status
        kind = self.dialect.json_type if content_type is None else content_type
        head = self.head(call, status, kind, len(body), extra)
        call.end(head if call.head.method == "HEAD" else head + body)

    def head(
        self,
        call: Call,
        status: int,
        content_type: bytes,
        length: int | None,
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
        """The head of an answer; *length* None: chunked. May decide that the connection ends with it."""
        dialect = self.dialect
        if dialect.closes_after is not None and call.connection.answered + 1 >= dialect.closes_after:
            call.keep_alive = False
        close = not call.keep_alive or (status >= 400 and dialect.errors_say_close)
        head = dialect.head(status, content_type, length, extra, close=close)
        if length is None and dialect.closes_streams:
            call.keep_alive = False
        return head

    def _refusal(self, status: int, reason: str) -> bytes:
        head = self.dialect.bare_head or self.dialect.head
        return head(status, b"text/plain; charset=utf-8", len(reason), close=True) + reason.encode()


def _is_native(call: Call) -> bool:
    """Whether Ollama's own interface is asked."""
    return call.target.startswith(b"/api/")


def _path_of(target: bytes) -> str:
    """The path of *target*, as servers see it: decoded, and without the host that a proxy is told."""
    if target.startswith((b"http://", b"https://")):
        target = b"/" + target.split(b"/", 3)[-1]
    return unquote_to_bytes(target.partition(b"?")[0]).decode("latin-1")


def _other_slash(path: str) -> str:
    return path[:-1] if path.endswith("/") else f"{path}/"
