"""The mock server: requests in, answers out, at the promised time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from time import time
from typing import Any
from zlib import crc32

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.checks import TOKENIZE, Refusal, check_fields, flag, parse_body
from pytest_llmperf.mock.config import DEFAULT_MODEL, MockConfig, parse_config
from pytest_llmperf.mock.delivery import LAST_CHUNK, Delivery, Gaps, chunked
from pytest_llmperf.mock.dialect import Dialect, Frames, encode_json
from pytest_llmperf.mock.distribution import Distribution
from pytest_llmperf.mock.generation import Ask, Choice, Generation, generate
from pytest_llmperf.mock.http import Call, Connection
from pytest_llmperf.mock.journal import Journal
from pytest_llmperf.mock.openai_ask import chat_ask, check_model, completion_asks, message_tokens
from pytest_llmperf.mock.pieces import count_tokens, split_pieces
from pytest_llmperf.mock.rules import Rulebook, parse_rule
from pytest_llmperf.mock.timers import Timers
from pytest_llmperf.mock.vllm import VERSION, VLLM

_JSON = b"application/json"
Route = Callable[[Call], None]


class Mock:
    """One mock server: its configuration, its state, its routes."""

    def __init__(
        self, config: MockConfig, *, loop: asyncio.AbstractEventLoop, token: str | None = None
    ) -> None:
        self._loop = loop
        self._timers = Timers(loop)
        self._token = token
        self._original = config
        self.peers: set[Connection] = set()
        self._routes: dict[str, dict[str, Route]] = {
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._completion},
            "/v1/models": {"GET": self._models},
            "/health": {"GET": self._health},
            "/version": {"GET": self._version},
            "/tokenize": {"POST": self._tokenize},
        }
        self._control: dict[str, Callable[[Any], Any]] = {
            "/_mock/requests": lambda _: {"total": self.journal.total, "requests": self.journal.entries()},
            "/_mock/reset": self._reset,
            "/_mock/reply": self._add_reply,
            "/_mock/latency": self._set_latency,
        }
        self._use(config)

    def connection(self) -> Connection:
        """A protocol for one more client."""
        return Connection(
            on_call=self._answer, on_finished=self._finished, refuse=self._refuse_bytes, peers=self.peers
        )

    def close(self) -> None:
        """Cut all clients and stop the timers."""
        for peer in list(self.peers):
            peer.transport.abort()
        self._timers.close()

    # --- state

    def _use(self, config: MockConfig) -> None:
        self.config = config
        self.dialect: Dialect = VLLM
        self.rulebook = Rulebook(list(config.replies))
        self.journal = Journal(config.log_size)
        self._ttft_rng = Random(f"ttft {config.seed}")
        self._itl_rng = Random(f"itl {config.seed}")
        self._id_rng = Random(f"id {config.seed}")
        self._requests = 0

    def _reset(self, _: Any) -> None:
        self._use(self._original)

    def _add_reply(self, section: Any) -> None:
        self.rulebook.add(parse_rule(section, where="reply"))

    def _set_latency(self, section: Any) -> None:
        merged = {**json.loads(self.config.section).get("latency", {}), **section}
        latency = parse_config({"latency": merged}, where="mock").latency
        self.config = replace(self.config, latency=latency)

    # --- one request

    def _answer(self, call: Call) -> None:
        """Answer *call*; whatever goes wrong becomes an answer too."""
        try:
            path = call.target.partition(b"?")[0].decode("latin-1")
            methods = self._routes.get(path)
            if methods is None:
                self._not_a_route(call, path)
            elif (route := methods.get(call.method)) is not None:
                route(call)
            else:
                body = b'{"detail":"Method Not Allowed"}'
                self._send(call, 405, body, extra={"allow": ", ".join(methods)})
        except Refusal as refused:
            status, body = self.dialect.refusal(refused)
            self._send(call, status, body)
        except Exception as error:  # noqa: BLE001 - no request may take the server down
            refused = Refusal(
                status=500, message=f"{type(error).__name__} in the mock", type="InternalServerError"
            )
            self._send(call, 500, self.dialect.refusal(refused)[1])

    def _finished(self, call: Call) -> None:
        if not call.target.startswith(b"/_mock/"):
            self.journal.add(call)

    def _not_a_route(self, call: Call, path: str) -> None:
        act = self._control.get(path)
        if act is None or self._token is None:
            self._send(call, 404, b'{"detail":"Not Found"}')
        elif call.header(b"x-mock-token") != self._token.encode():
            self._send(call, 403, b'{"error":"wrong or missing x-mock-token"}')
        else:
            try:
                result = act(json.loads(call.body) if call.body else None)
            except (LlmPerfUsageError, ValueError, TypeError) as error:
                self._send(call, 400, encode_json({"error": str(error)}).encode())
            else:
                self._send(call, 200, encode_json(result).encode("utf-8", "replace"))

    # --- the model's routes

    def _chat(self, call: Call) -> None:
        request = parse_body(call.body)
        ask = chat_ask(
            request,
            default_model=self._default_model,
            models=self.config.models,
            max_model_len=self.config.max_model_len,
            marker=self.config.user_marker,
            role=_role(call),
        )
        made = self._generation("chatcmpl", ask, generate(ask, self.rulebook))
        if flag(request.get("stream")):
            self._stream(call, made, self.dialect.chat_events(made, _include_usage(request)))
        else:
            self._whole(call, made, self.dialect.chat(made))

    def _completion(self, call: Call) -> None:
        request = parse_body(call.body)
        asks = completion_asks(
            request,
            default_model=self._default_model,
            models=self.config.models,
            max_model_len=self.config.max_model_len,
            marker=self.config.user_marker,
            role=_role(call),
        )
        choices: list[Choice] = []
        for ask in asks:
            for choice in generate(ask, self.rulebook):
                choice.index = len(choices)
                choices.append(choice)
        asks[0].prompt_tokens = sum(ask.prompt_tokens for ask in asks)
        made = self._generation("cmpl", asks[0], choices)
        if flag(request.get("stream")):
            self._stream(call, made, self.dialect.completion_events(made, _include_usage(request)))
        else:
            self._whole(call, made, self.dialect.completion(made))

    def _generation(self, prefix: str, ask: Ask, choices: list[Choice]) -> Generation:
        return Generation(
            ask=ask, choices=choices, id=f"{prefix}-{self._id_rng.getrandbits(64):016x}", created=int(time())
        )

    # --- the other routes

    @property
    def _default_model(self) -> str:
        return self.config.models[0] if self.config.models else DEFAULT_MODEL

    def _models(self, call: Call) -> None:
        now = int(time())
        listed = [
            {
                "id": name,
                "object": "model",
                "created": now,
                "owned_by": "vllm",
                "root": name,
                "parent": None,
                "max_model_len": self.config.max_model_len,
                "permission": [
                    {
                        "id": f"modelperm-{crc32(name.encode('utf-8', 'replace')):016x}",
                        "object": "model_permission",
                        "created": now,
                        "allow_create_engine": False,
                        "allow_sampling": True,
                        "allow_logprobs": True,
                        "allow_search_indices": False,
                        "allow_view": True,
                        "allow_fine_tuning": False,
                        "organization": "*",
                        "group": None,
                        "is_blocking": False,
                    }
                ],
            }
            for name in self.config.models or (DEFAULT_MODEL,)
        ]
        self._send(call, 200, encode_json({"object": "list", "data": listed}).encode("utf-8", "replace"))

    def _health(self, call: Call) -> None:
        self._send(call, 200, b"", content_type=b"")

    def _version(self, call: Call) -> None:
        self._send(call, 200, encode_json({"version": VERSION}).encode())

    def _tokenize(self, call: Call) -> None:
        request = check_fields(parse_body(call.body), TOKENIZE, required=())
        check_model(request, default_model=self._default_model, models=self.config.models)
        messages = request.get("messages")
        if messages is not None:
            texts = [str(message.get("content") or "") for message in messages if isinstance(message, dict)]
            count = sum(message_tokens(message) for message in messages if isinstance(message, dict))
        else:
            texts = [str(request.get("prompt") or "")]
            count = count_tokens(texts[0])
        pieces = [piece for text in texts if text for piece in split_pieces(text)][:count]
        answer = {
            "count": count,
            "max_model_len": self.config.max_model_len,
            "tokens": [crc32(piece.encode("utf-8", "replace")) % 151_643 for piece in pieces],
            "token_strs": pieces if flag(request.get("return_token_strs")) else None,
        }
        self._send(call, 200, encode_json(answer).encode("utf-8", "replace"))

    # --- sending

    def _send(
        self,
        call: Call,
        status: int,
        body: bytes,
        *,
        content_type: bytes = _JSON,
        extra: dict[str, str] | None = None,
    ) -> None:
        """A whole answer, now."""
        call.status = status
        call.end(
            self._head(call, status, content_type, len(body), extra)
            + (b"" if call.method == "HEAD" else body)
        )

    def _head(
        self,
        call: Call,
        status: int,
        content_type: bytes,
        length: int | None,
        extra: dict[str, str] | None = None,
    ) -> bytes:
        head = self.dialect.head(status, content_type, length, extra)
        return head + (b"\r\n" if call.keep_alive else b"connection: close\r\n\r\n")

    def _refuse_bytes(self, status: int, reason: str) -> bytes:
        head = self.dialect.head(status, b"text/plain; charset=utf-8", len(reason))
        return head + b"connection: close\r\n\r\n" + reason.encode()

    def _delays(self, steps: int) -> tuple[int, Gaps]:
        """Nanoseconds to the first token, and between the others; drawn in order of arrival."""
        latency = self.config.latency
        ttft_ns = _draw(latency.ttft, self._ttft_rng)
        if latency.itl.constant_s is not None:
            return ttft_ns, round(latency.itl.constant_s * 1e9)
        return ttft_ns, [_draw(latency.itl, self._itl_rng) for _ in range(steps - 1)]

    def _whole(self, call: Call, made: Generation, body: bytes) -> None:
        ttft_ns, gaps = self._delays(made.steps)
        call.status = 200
        total_ns = ttft_ns + (gaps * (made.steps - 1) if isinstance(gaps, int) else sum(gaps))
        answer = self._head(call, 200, _JSON, len(body)) + body
        self._deliver(call, [answer], 0, call.arrived_ns + total_ns)

    def _stream(self, call: Call, made: Generation, frames: Frames) -> None:
        ttft_ns, gaps = self._delays(made.steps)
        call.status = 200
        parts = [b""] * made.steps
        for step, frame in frames:
            parts[step] += chunked(frame)
        parts[-1] += chunked(self.dialect.done) + LAST_CHUNK
        head = self._head(call, 200, self.dialect.stream_type, None)
        if ttft_ns:
            call.write(head)
        else:
            parts[0] = head + parts[0]
        self._deliver(call, parts, gaps, call.arrived_ns + ttft_ns)

    def _deliver(self, call: Call, parts: list[bytes], gaps: Gaps, first_ns: int) -> None:
        Delivery(call, parts, gaps, timers=self._timers, on_done=lambda _: None).start(first_ns)


def _draw(distribution: Distribution, rng: Random) -> int:
    if distribution.constant_s is not None:
        return round(distribution.constant_s * 1e9)
    return round(distribution.draw(rng) * 1e9)


def _include_usage(request: dict[str, Any]) -> bool:
    options = request.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _role(call: Call) -> str | None:
    value = call.header(b"x-llmperf-role")
    return None if value is None else value.decode("latin-1")
