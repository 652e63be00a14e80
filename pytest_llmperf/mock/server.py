"""The mock server: requests in, answers out, at the promised time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal, parse_body
from pytest_llmperf.mock.config import MockConfig
from pytest_llmperf.mock.connection import Connection
from pytest_llmperf.mock.control import PREFIX, Control
from pytest_llmperf.mock.dialect import Dialect, to_bytes
from pytest_llmperf.mock.dialects import DIALECTS
from pytest_llmperf.mock.generating import Generating
from pytest_llmperf.mock.head import Heads
from pytest_llmperf.mock.openai_ask import Limits
from pytest_llmperf.mock.parcel import Outbox
from pytest_llmperf.mock.replay import load_replay
from pytest_llmperf.mock.replaying import Replaying
from pytest_llmperf.mock.server_pages import PAGES
from pytest_llmperf.mock.state import State
from pytest_llmperf.mock.telling import Telling
from pytest_llmperf.mock.timers import Timers

Route = Callable[[Call], None]


class Mock:
    """One mock server: its state, its routes, and how answers are put together."""

    def __init__(
        self,
        config: MockConfig,
        *,
        loop: asyncio.AbstractEventLoop,
        token: str | None = None,
        refuse: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._loop = loop
        self.timers = Timers(loop)
        self.outbox = Outbox(loop)
        self.config = config
        self.refuse_for = refuse
        self.peers: set[Connection] = set()
        self._holders: set[Connection] = set()
        self._heads = Heads()
        self.dialect: Dialect = DIALECTS[config.dialect]
        self._routes = self._make_routes()
        self._direct = {
            (method, path.encode()): route
            for path, methods in self._routes.items()
            for method, route in methods.items()
        }
        self._replaying = Replaying(self)
        self._recorded = None if config.replay is None else load_replay(config.replay, speed=config.speed)
        self.control = (
            None
            if token is None
            else Control(lambda: self.state, token=token, reset=self.reset, refuse=refuse)
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
        )
        self.plain_engine = self.config.capacity is None

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

    def _connection(self, peers: set[Connection]) -> Connection:
        return Connection(
            on_call=self._answer,
            on_finished=self._finished,
            refuse=self._refusal,
            peers=peers,
            heads=self._heads,
        )

    def _make_routes(self) -> dict[str, dict[str, Route]]:
        generating, telling = Generating(self), Telling(self)
        routes: dict[str, dict[str, Route]] = {
            "/v1/chat/completions": {"POST": generating.chat},
            "/v1/completions": {"POST": generating.completion},
            "/v1/models": {"GET": telling.models},
        }
        name = self.dialect.name
        if name in ("vllm", "sglang", "tgi", "llamacpp"):
            routes["/health"] = {"GET": telling.health}
            routes["/metrics"] = {"GET": telling.metrics}
            routes["/tokenize"] = {"POST": telling.tokenize}
        routes |= {path: {"GET": telling.page(page)} for path, page in PAGES.get(name, {}).items()}
        if name in ("vllm", "sglang", "llamacpp"):
            routes["/detokenize"] = {"POST": telling.detokenize}
        if name == "llamacpp":
            routes["/v1/health"] = {"GET": telling.health}
        if name == "sglang":
            routes["/health_generate"] = {"GET": telling.health}
            routes["/flush_cache"] = {"GET": telling.flush_cache, "POST": telling.flush_cache}
        if name in ("vllm", "openai", "ollama", "sglang"):
            routes["/v1/embeddings"] = {"POST": telling.embeddings}
        if name == "vllm":
            routes["/version"] = {"GET": telling.version}
            routes["/reset_prefix_cache"] = {"POST": telling.reset_prefix_cache}
            routes["/ping"] = {"GET": telling.health, "POST": telling.health}
        if name == "ollama":
            routes |= self._ollama_routes(generating, telling)
        return routes

    def _ollama_routes(self, generating: Generating, telling: Telling) -> dict[str, dict[str, Route]]:
        window = self.config.max_model_len
        text = b"text/plain; charset=utf-8"

        def hello(call: Call) -> None:
            self.send(call, 200, b"Ollama is running", content_type=text)

        def give(value: Callable[[], Any]) -> Route:
            return lambda call: self.send(call, 200, to_bytes(value()), content_type=ollama.JSON)

        def show(call: Call) -> None:
            shown = ollama.show(parse_body(call.body), models=self.limits.models, max_model_len=window)
            self.send(call, 200, to_bytes(shown), content_type=ollama.JSON)

        return {
            "/": {"GET": hello, "HEAD": hello},
            "/api/chat": {"POST": generating.ollama_chat},
            "/api/generate": {"POST": generating.ollama_generate},
            "/api/tags": {
                "GET": give(lambda: ollama.tags(self.state.models)),
                "HEAD": give(lambda: ollama.tags(self.state.models)),
            },
            "/api/ps": {"GET": give(lambda: ollama.running(self.state.models, window))},
            "/api/version": {"GET": give(lambda: {"version": ollama.VERSION})},
            "/api/show": {"POST": show},
            "/api/embed": {"POST": telling.ollama_embed},
            "/api/embeddings": {"POST": telling.ollama_embed},
        }

    # --- one request

    def _answer(self, call: Call) -> None:
        """Answer *call*; whatever goes wrong becomes an answer too."""
        try:
            route = self._direct.get((call.head.method, call.head.target))
            if route is not None and self.state.replay is None:
                route(call)
            else:
                self._answer_other(call)
        except Refusal as refused:
            self.refuse(call, refused)
        except Exception as error:  # noqa: BLE001 - no request may take the server down
            self.refuse(
                call,
                Refusal(
                    status=500, message=f"{type(error).__name__} in the mock", type="InternalServerError"
                ),
            )

    def _answer_other(self, call: Call) -> None:
        """Answer what is control, recorded, asked with a query, or no route at all."""
        path = call.target.partition(b"?")[0].decode("latin-1")
        methods = self._routes.get(path)
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
                self.send(call, status, body, extra={"allow": ", ".join(methods)} if status == 405 else None)
        else:
            status, body = self.dialect.not_found(call.method, path)
            self.send(call, status, body)

    def refuse(self, call: Call, refused: Refusal, extra: dict[str, str] | None = None) -> None:
        """The error *refused*, in the words of the dialect."""
        is_native = call.target.startswith(b"/api/")
        status, body = (ollama.refusal if is_native else self.dialect.refusal)(refused)
        self.send(call, status, body, content_type=self.dialect.json_type, extra=extra)

    def _controlled(self, call: Call, control: Control) -> None:
        result = control.handle(call)
        if result is not None:
            self.send(call, result[0], to_bytes(result[1]))

    def _finished(self, call: Call) -> None:
        if call.number < 0 and call.target.startswith((PREFIX, b"/metrics")):
            return  # who looks at the server asks nothing of it
        state = self.state
        state.journal.add(call)
        if call.delivery is not None:
            state.running -= 1
            facts = call.delivery.finished()
            if facts is not None:
                state.metrics.add(facts)
            call.delivery = None

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
        head = dialect.head(status, content_type, length, extra, close=not call.keep_alive)
        if length is None and dialect.closes_streams:
            call.keep_alive = False
        return head

    def _refusal(self, status: int, reason: str) -> bytes:
        return (
            self.dialect.head(status, b"text/plain; charset=utf-8", len(reason), close=True) + reason.encode()
        )
