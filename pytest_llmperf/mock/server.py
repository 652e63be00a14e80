"""The mock server: requests in, answers out, at the promised time."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from struct import pack
from time import time
from typing import Any
from zlib import crc32

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.checks import TOKENIZE, Refusal, check_fields, flag, parse_body
from pytest_llmperf.mock.config import MockConfig
from pytest_llmperf.mock.control import PREFIX, Control
from pytest_llmperf.mock.conversation import Conversation, text_of
from pytest_llmperf.mock.delivery import LAST_CHUNK, Delivery, chunked
from pytest_llmperf.mock.dialect import Dialect, Frames, to_bytes
from pytest_llmperf.mock.dialects import DIALECTS
from pytest_llmperf.mock.faults import CONTENT, FAULTS, Fault, parse_fault
from pytest_llmperf.mock.generation import Ask, Choice, Generation, generate
from pytest_llmperf.mock.http import Call, Connection
from pytest_llmperf.mock.metrics import Finished
from pytest_llmperf.mock.openai_ask import Limits, chat_ask, check_model, completion_asks, message_tokens
from pytest_llmperf.mock.pieces import count_tokens, split_pieces
from pytest_llmperf.mock.plan import Late, Plan, Timing
from pytest_llmperf.mock.reuse import Written
from pytest_llmperf.mock.rules import Answer, fill_in
from pytest_llmperf.mock.spoil import spoil
from pytest_llmperf.mock.state import State
from pytest_llmperf.mock.timers import Timers

_NOW = Timing(arrived_ns=0, started_ns=0)
_WEIGHT = 1024  # embedding vectors are unit length; components are small integers over this
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
        self._timers = Timers(loop)
        self._config = config
        self._refuse_for = refuse
        self.peers: set[Connection] = set()
        self._holders: set[Connection] = set()
        self.dialect: Dialect = DIALECTS[config.dialect]
        self._routes = self._make_routes()
        self._control = (
            None
            if token is None
            else Control(lambda: self.state, token=token, reset=self.reset, refuse=refuse)
        )
        self.reset()

    def reset(self) -> None:
        """Start again as configured."""
        self.state = State(self._config)
        self.limits = Limits(
            default_model=self.state.models[0],
            models=self._config.models,
            max_model_len=self._config.max_model_len,
            user_marker=self._config.user_marker,
            lenient=self.dialect.lenient,
        )
        self._plain_engine = self._config.capacity is None

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
        self._timers.close()

    def _connection(self, peers: set[Connection]) -> Connection:
        return Connection(on_call=self._answer, on_finished=self._finished, refuse=self._refusal, peers=peers)

    def _make_routes(self) -> dict[str, dict[str, Route]]:
        routes: dict[str, dict[str, Route]] = {
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._completion},
            "/v1/models": {"GET": self._models},
        }
        name = self.dialect.name
        if name in ("vllm", "sglang", "tgi", "llamacpp"):
            routes["/health"] = {"GET": self._health}
            routes["/metrics"] = {"GET": self._metrics}
            routes["/tokenize"] = {"POST": self._tokenize}
        if name in ("vllm", "openai", "ollama", "sglang"):
            routes["/v1/embeddings"] = {"POST": self._embeddings}
        if name == "vllm":
            routes["/version"] = {"GET": self._version}
            routes["/reset_prefix_cache"] = {"POST": self._reset_prefix_cache}
            routes["/ping"] = {"GET": self._health, "POST": self._health}
        if name == "ollama":
            routes |= self._ollama_routes()
        return routes

    def _ollama_routes(self) -> dict[str, dict[str, Route]]:
        window = self._config.max_model_len
        text = b"text/plain; charset=utf-8"

        def hello(call: Call) -> None:
            self._send(call, 200, b"Ollama is running", content_type=text)

        def give(value: Callable[[], Any]) -> Route:
            return lambda call: self._send(call, 200, to_bytes(value()), content_type=ollama.JSON)

        def show(call: Call) -> None:
            shown = ollama.show(parse_body(call.body), models=self.limits.models, max_model_len=window)
            self._send(call, 200, to_bytes(shown), content_type=ollama.JSON)

        return {
            "/": {"GET": hello, "HEAD": hello},
            "/api/chat": {"POST": self._ollama_chat},
            "/api/generate": {"POST": self._ollama_generate},
            "/api/tags": {
                "GET": give(lambda: ollama.tags(self.state.models)),
                "HEAD": give(lambda: ollama.tags(self.state.models)),
            },
            "/api/ps": {"GET": give(lambda: ollama.running(self.state.models, window))},
            "/api/version": {"GET": give(lambda: {"version": ollama.VERSION})},
            "/api/show": {"POST": show},
            "/api/embed": {"POST": self._ollama_embed},
            "/api/embeddings": {"POST": self._ollama_embed},
        }

    # --- one request

    def _answer(self, call: Call) -> None:
        """Answer *call*; whatever goes wrong becomes an answer too."""
        try:
            path = call.target.partition(b"?")[0].decode("latin-1")
            methods = self._routes.get(path)
            if methods is not None:
                route = methods.get(call.method)
                if route is not None:
                    route(call)
                else:
                    status, body = self.dialect.not_allowed(call.method, path)
                    self._send(
                        call, status, body, extra={"allow": ", ".join(methods)} if status == 405 else None
                    )
            elif self._control is not None and call.target.startswith(PREFIX):
                self._controlled(call, self._control)
            else:
                status, body = self.dialect.not_found(call.method, path)
                self._send(call, status, body)
        except Refusal as refused:
            self._refuse(call, refused)
        except Exception as error:  # noqa: BLE001 - no request may take the server down
            self._refuse(
                call,
                Refusal(
                    status=500, message=f"{type(error).__name__} in the mock", type="InternalServerError"
                ),
            )

    def _refuse(self, call: Call, refused: Refusal, extra: dict[str, str] | None = None) -> None:
        is_native = call.target.startswith(b"/api/")
        status, body = (ollama.refusal if is_native else self.dialect.refusal)(refused)
        self._send(call, status, body, content_type=self.dialect.json_type, extra=extra)

    def _controlled(self, call: Call, control: Control) -> None:
        result = control.handle(call)
        if result is not None:
            self._send(call, result[0], to_bytes(result[1]))

    def _finished(self, call: Call) -> None:
        if call.target.startswith(PREFIX):
            return
        state = self.state
        state.journal.add(call)
        if call.delivery is not None:
            state.running -= 1
            state.metrics.add(_finished_facts(call, call.delivery))
            call.delivery = None

    # --- the model's routes

    def _chat(self, call: Call) -> None:
        role, one_off = _headers(call)
        state = self.state
        call.reusable = (
            role is None
            and one_off is None
            and self._plain_engine
            and call.chunked
            and not self.dialect.tells_times
            and not state.playbook.faults
            and state.rulebook.steady
        )
        if call.reusable:
            written = state.reuse.get(call.body)
            if written is not None:
                self._send_again(call, written)
                return
        request = parse_body(call.body)
        ask = chat_ask(request, self.limits, role=role)
        stream, usage = _stream_options(request)

        def go_on(answer: Answer | None) -> None:
            nonlocal usage
            usage = usage and not _is(call, "no_usage")
            prompt = "" if self._plain_engine else _prompt_text(request["messages"])
            made = self._generation(call, "chatcmpl", ask, generate(ask, answer), prompt)
            if stream:
                frames = self.dialect.chat_events(made, usage)
                end = (
                    (lambda timing: self.dialect.chat_end(made, usage, timing))
                    if self.dialect.tells_times
                    else None
                )
                self._stream(call, made, frames, end)
            else:
                self._whole(call, made, lambda timing: self.dialect.chat(made, timing))

        self._run(call, ask, stream=stream, one_off=one_off, go_on=go_on)

    def _send_again(self, call: Call, written: Written) -> None:
        """An answer that was written down before, under a new id."""
        state = self.state
        call.reusable = False
        call.number = state.number
        new_id = f"chatcmpl-{self.dialect.new_id(state.id_rng.getrandbits(64))}"
        parts = written.again(new_id, int(time()))
        dialect = self.dialect
        if written.stream:
            head = self._head(call, 200, dialect.stream_type, None, dialect.stream_extra)
        else:
            head = self._head(call, 200, dialect.json_type, len(parts[-1]))
        plan = Plan(
            head=head, parts=parts, stream=written.stream, frame=chunked, head_late=not written.stream
        )
        self._deliver(call, written.made, plan)

    def _completion(self, call: Call) -> None:
        request = parse_body(call.body)
        role, one_off = _headers(call)
        asks = completion_asks(request, self.limits, role=role)
        stream, usage = _stream_options(request)
        asks[0].prompt_tokens = sum(ask.prompt_tokens for ask in asks)

        def go_on(answer: Answer | None) -> None:
            choices: list[Choice] = []
            for at, ask in enumerate(asks):
                said = answer if at == 0 else self._rule_answer(ask.said)
                for choice in generate(ask, said):
                    choice.index = len(choices)
                    choices.append(choice)
            made = self._generation(call, "cmpl", asks[0], choices, asks[0].said.user)
            if stream:
                frames = self.dialect.completion_events(made, usage)
                end = (
                    (lambda timing: self.dialect.completion_end(made, usage, timing))
                    if self.dialect.tells_times
                    else None
                )
                self._stream(call, made, frames, end)
            else:
                self._whole(call, made, lambda timing: self.dialect.completion(made, timing))

        self._run(call, asks[0], stream=stream, one_off=one_off, go_on=go_on)

    def _ollama_chat(self, call: Call) -> None:
        self._ollama(call, is_chat=True)

    def _ollama_generate(self, call: Call) -> None:
        self._ollama(call, is_chat=False)

    def _ollama(self, call: Call, *, is_chat: bool) -> None:
        request = parse_body(call.body)
        role, one_off = _headers(call)
        limits = self.limits
        make_ask = ollama.chat_ask if is_chat else ollama.generate_ask
        ask = make_ask(
            request,
            models=limits.models,
            max_model_len=limits.max_model_len,
            marker=limits.user_marker,
            role=role,
        )
        if ollama.is_load(request):
            self._send(call, 200, ollama.loaded(request, chat=is_chat), content_type=ollama.JSON)
            return
        prompt = _prompt_text(request.get("messages")) if is_chat else ask.said.user

        def go_on(answer: Answer | None) -> None:
            made = self._generation(call, "ollama", ask, generate(ask, answer)[:1], prompt)
            if request.get("stream", True):
                frames = ollama.chat_events(made) if is_chat else ollama.generate_events(made)
                end = ollama.chat_end if is_chat else ollama.generate_end
                self._stream(call, made, frames, lambda timing: end(made, timing), native=True)
            else:
                body = ollama.chat if is_chat else ollama.generate
                self._whole(
                    call, made, lambda timing: body(made, timing), late=True, content_type=ollama.JSON
                )

        self._run(call, ask, stream=bool(request.get("stream", True)), one_off=one_off, go_on=go_on)

    def _run(
        self,
        call: Call,
        ask: Ask,
        *,
        stream: bool,
        one_off: Fault | None,
        go_on: Callable[[Answer | None], None],
    ) -> None:
        """Play faults, find the rule's answer (its function may have to be asked), go on with it."""
        state = self.state
        playbook = state.playbook
        call.number = state.number
        fault = one_off
        if fault is None and playbook.faults:
            fault = playbook.pick(ask.said, stream=stream, now_s=state.age_s(call.arrived_ns))
        if fault is not None:
            call.fault = fault
            if self._played_instead(call, fault):
                return
        tokens = ask.prompt_tokens + min(ask.max_tokens, 256)
        if not self._plain_engine and state.engine.full(tokens):
            state.engine.rejected += 1
            text = "The engine is overloaded: the waiting queue is full."
            refused = Refusal(status=503, message=text, type="ServiceUnavailableError", shape="overloaded")
            self._refuse(call, refused, {"retry-after": "1"})
            return
        answer = self._rule_answer(ask.said)
        if answer is not None and answer.callback is not None and self._control is not None:
            self._control.ask(answer, _for_function(call, ask), go_on)
        else:
            go_on(answer)

    def _rule_answer(self, said: Conversation) -> Answer | None:
        answer = self.state.rulebook.first(said)
        return fill_in(answer, said, self.state.number) if answer is not None and answer.template else answer

    def _played_instead(self, call: Call, fault: Fault) -> bool:
        """Whether *fault* is an answer of its own, which is then sent."""
        if fault.kind == "refuse":
            self._refuse_for(fault.for_s)
            call.cut(reset=True)
            return True
        if fault.kind not in ("status", "rate_limit"):
            return False
        extra: dict[str, str] = {}
        message, kind = fault.message or f"Injected fault: HTTP {fault.status}", "InternalServerError"
        if fault.retry_after_s is not None or fault.kind == "rate_limit":
            after_s = 1.0 if fault.retry_after_s is None else fault.retry_after_s
            extra["retry-after"] = f"{after_s:g}" if after_s >= 1 or after_s == 0 else "1"
            extra["retry-after-ms"] = f"{after_s * 1000:g}"
        if fault.kind == "rate_limit":
            message, kind = fault.message or "Rate limit reached for requests", "RateLimitError"
            extra |= {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": f"{1.0 if fault.retry_after_s is None else fault.retry_after_s:g}s",  # noqa: E501
            }
        elif fault.status < 500:
            kind = "BadRequestError"
        self._refuse(call, Refusal(status=fault.status, message=message, type=kind, shape="fault"), extra)
        return True

    def _generation(
        self, call: Call, prefix: str, ask: Ask, choices: list[Choice], prompt: str
    ) -> Generation:
        fault = call.fault
        if fault is not None and fault.kind in CONTENT:
            choices = spoil(choices, ask, fault)
        state = self.state
        cached = 0
        if not self._plain_engine:
            cached = state.engine.cached_tokens(prompt, ask.prompt_tokens)
        made = Generation(
            ask=ask,
            choices=choices,
            id=f"{prefix}-{self.dialect.new_id(state.id_rng.getrandbits(64))}",
            created=int(time()),
            cached_tokens=cached,
        )
        if fault is not None and fault.kind == "wrong_usage":
            made.completion_tokens = round(made.completion_tokens * fault.factor)
        return made

    # --- the other routes

    def _models(self, call: Call) -> None:
        body = to_bytes(self.dialect.models(self.state.models, self._config.max_model_len))
        self._send(call, 200, body, content_type=self.dialect.json_type)

    def _health(self, call: Call) -> None:
        if self.dialect.name == "llamacpp":
            self._send(call, 200, b'{"status":"ok"}', content_type=self.dialect.json_type)
        else:
            self._send(call, 200, b"", content_type=b"")

    def _version(self, call: Call) -> None:
        self._send(call, 200, to_bytes({"version": self._config.version}))

    def _reset_prefix_cache(self, call: Call) -> None:
        self.state.engine.reset_prefix_cache()
        self._send(call, 200, b"", content_type=b"")

    def _metrics(self, call: Call) -> None:
        state = self.state
        engine = state.engine
        running = state.running if self._plain_engine else engine.running
        body = state.metrics.render(
            model=state.models[0],
            running=running,
            waiting=engine.waiting,
            kv_usage=engine.kv_usage,
            queries=engine.queries,
            hits=engine.hits,
            rejected=engine.rejected,
        )
        self._send(call, 200, body, content_type=b"text/plain; version=1.0.0; charset=utf-8")

    def _tokenize(self, call: Call) -> None:
        request = parse_body(call.body)
        if self.dialect.name == "llamacpp":
            text = request.get("content") if isinstance(request, dict) else ""
            self._send(
                call,
                200,
                to_bytes({"tokens": _token_ids(str(text or ""))}),
                content_type=self.dialect.json_type,
            )
            return
        checked = check_fields(request, TOKENIZE, required=())
        check_model(checked, self.limits)
        messages = checked.get("messages")
        if messages is not None:
            kept = [message for message in messages if isinstance(message, dict)]
            text = "\n".join(text_of(message.get("content")) for message in kept)
            count = sum(map(message_tokens, kept))
        else:
            text = str(checked.get("prompt") or "")
            count = count_tokens(text)
        pieces = list(split_pieces(text)) if text else []
        answer = {
            "count": count,
            "max_model_len": self._config.max_model_len,
            "tokens": [*_token_ids(text), *([0] * (count - len(pieces)))][:count],
            "token_strs": pieces if flag(checked.get("return_token_strs")) else None,
        }
        self._send(call, 200, to_bytes(answer))

    def _embeddings(self, call: Call) -> None:
        request = parse_body(call.body)
        if not isinstance(request, dict) or "input" not in request:
            raise Refusal(
                status=400, message="Missing required parameter: 'input'.", param="input", shape="prompt"
            )
        model = check_model(request, self.limits)
        texts = _inputs(request["input"])
        width = request.get("dimensions")
        width = width if isinstance(width, int) and 0 < width <= 8192 else 16
        data = [
            {
                "object": "embedding",
                "index": at,
                "embedding": _vector(text, width, request.get("encoding_format")),
            }
            for at, text in enumerate(texts)
        ]
        tokens = sum(map(count_tokens, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self._late(call, to_bytes({"object": "list", "data": data, "model": model, "usage": usage}))

    def _ollama_embed(self, call: Call) -> None:
        request = parse_body(call.body)
        ollama.show(
            request, models=self.limits.models, max_model_len=1
        )  # the same checks of the model's name
        texts = _inputs(request.get("input") or request.get("prompt") or "")
        vectors = [_vector(text, 16, None) for text in texts]
        body: dict[str, Any] = {"model": request["model"], "embeddings": vectors}
        if call.target.startswith(b"/api/embeddings"):
            body = {"embedding": vectors[0]}
        self._late(call, to_bytes(body))

    def _late(self, call: Call, body: bytes) -> None:
        """A whole answer after the time to first token."""
        call.number = self.state.number
        ttft_ns, _ = self.state.draw_delays(1, call.arrived_ns)
        self.state.number += 1
        if ttft_ns:
            self._timers.at(call.arrived_ns + ttft_ns, lambda _: self._send(call, 200, body))
        else:
            self._send(call, 200, body)

    # --- sending

    def _send(
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
        head = self._head(call, status, kind, len(body), extra)
        call.end(head if call.method == "HEAD" else head + body)

    def _head(
        self,
        call: Call,
        status: int,
        content_type: bytes,
        length: int | None,
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
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

    def _whole(
        self,
        call: Call,
        made: Generation,
        body: Late,
        *,
        late: bool = False,
        content_type: bytes | None = None,
    ) -> None:
        kind = self.dialect.json_type if content_type is None else content_type
        parts = [b""] * made.steps

        def last(timing: Timing) -> bytes:
            data = body(timing)
            return self._head(call, 200, kind, len(data)) + data

        if _is(call, "no_usage"):
            body = _without_usage(body)
        if late or self.dialect.tells_times:
            plan = Plan(head=b"", parts=parts, stream=False, last=last)
            if call.fault is not None:  # a fault works on bytes
                plan.head, plan.parts[-1], plan.last = (
                    self._head(call, 200, kind, len(body(_NOW))),
                    body(_NOW),
                    None,
                )
        else:
            data = body(_NOW)
            parts[-1] = data
            plan = Plan(
                head=self._head(call, 200, kind, len(data)), parts=parts, stream=False, head_late=True
            )
        self._deliver(call, made, plan)

    def _stream(
        self, call: Call, made: Generation, frames: Frames, end: Late | None, *, native: bool = False
    ) -> None:
        dialect = self.dialect
        frame = chunked if call.chunked else bytes
        parts = [b""] * made.steps
        for step, data in frames:
            parts[step] += frame(data)
        close = (b"" if native else frame(dialect.done)) + (LAST_CHUNK if call.chunked else b"")
        kind = ollama.NDJSON if native else dialect.stream_type
        if not call.chunked:
            call.keep_alive = False
        head = self._head(call, 200, kind, None, dialect.stream_extra)
        if not call.chunked:
            head = b"\r\n".join(
                line for line in head.split(b"\r\n") if not line.lower().startswith(b"transfer-enc")
            )
        plan = Plan(head=head, parts=parts, stream=True, frame=frame)
        if end is None:
            parts[-1] += close
        else:
            plan.last = lambda timing: frame(end(timing)) + close
        self._deliver(call, made, plan)

    def _deliver(self, call: Call, made: Generation, plan: Plan) -> None:
        state = self.state
        if call.reusable:
            state.reuse.put(call.body, made, plan)
        call.status = plan.status
        plan.ttft_ns, plan.gaps = state.draw_delays(made.steps, call.arrived_ns)
        latency = state.latency
        prefill_ns = cold_ns = 0
        if latency.prefill_s:
            prefill_ns = round(latency.prefill_s * (made.ask.prompt_tokens - made.cached_tokens) * 1e9)
            plan.ttft_ns += prefill_ns
        if latency.cold_start_s and state.number == 0:
            cold_ns = round(latency.cold_start_s * 1e9)
            plan.ttft_ns += cold_ns
        state.number += 1
        state.running += 1
        if call.fault is not None and call.fault.kind in FAULTS:
            FAULTS[call.fault.kind](plan, call.fault)
        engine = None if self._plain_engine else state.engine
        tokens = made.ask.prompt_tokens + made.completion_tokens
        call.delivery = delivery = Delivery(
            call, plan, timers=self._timers, watcher=engine, made=made, tokens=tokens
        )
        delivery.timing.prefilled_ns, delivery.timing.cold_ns = prefill_ns, cold_ns
        if plan.stream and (plan.ttft_ns or plan.extra_ns or plan.early):
            delivery.begin()
        if engine is None:
            delivery.start(call.arrived_ns)
        else:
            engine.submit(delivery)


def _is(call: Call, kind: str) -> bool:
    return call.fault is not None and call.fault.kind == kind


def _without_usage(body: Late) -> Late:
    def write(timing: Timing) -> bytes:
        answer = json.loads(body(timing))
        for key in ("usage", "timings", "prompt_eval_count", "eval_count"):
            answer.pop(key, None)
        return to_bytes(answer)

    return write


def _headers(call: Call) -> tuple[str | None, Fault | None]:
    """The role and the one-off fault that a request's headers carry."""
    role: str | None = None
    fault: Fault | None = None
    for name, value in call.headers:
        if name[:2] not in (b"x-", b"X-"):
            continue
        key = name.lower()
        if key == b"x-llmperf-role":
            role = value.decode("latin-1")
        elif key == b"x-llmperf-fault":
            text = value.decode("latin-1").strip()
            try:
                fault = parse_fault(
                    json.loads(text) if text.startswith("{") else text, where="x-llmperf-fault"
                )
            except (LlmPerfUsageError, ValueError) as error:
                raise Refusal(
                    status=400, message=str(error), param="x-llmperf-fault", shape="fault"
                ) from None
    return role, fault


def _stream_options(request: dict[str, Any]) -> tuple[bool, bool]:
    options = request.get("stream_options")
    return flag(request.get("stream")), isinstance(options, dict) and bool(options.get("include_usage"))


def _prompt_text(messages: Any) -> str:
    return "\n".join(
        f"{message.get('role')}: {text_of(message.get('content'))}"
        for message in messages or ()
        if isinstance(message, dict)
    )


def _for_function(call: Call, ask: Ask) -> dict[str, Any]:
    """What a rule's function is told."""
    return {
        "body": json.loads(call.body),
        "user": ask.said.user,
        "system": ask.said.system,
        "history": ask.said.history,
        "model": ask.said.model,
    }


def _finished_facts(call: Call, delivery: Delivery) -> Finished:
    timing, made = delivery.timing, delivery.made
    whole = bool(timing.last_ns) and not delivery.abandoned
    first_ns = timing.first_ns or call.arrived_ns
    last_ns = timing.last_ns or first_ns
    return Finished(
        reason=("length" if made.choices[0].finish == "length" else "stop") if whole else "abort",
        prompt_tokens=made.ask.prompt_tokens,
        output_tokens=made.completion_tokens if whole else delivery.step,
        cached_tokens=made.cached_tokens,
        queue_s=(timing.started_ns - timing.arrived_ns) / 1e9,
        ttft_s=(first_ns - timing.arrived_ns) / 1e9,
        prefill_s=(first_ns - timing.started_ns) / 1e9,
        decode_s=(last_ns - first_ns) / 1e9,
        e2e_s=(last_ns - timing.arrived_ns) / 1e9,
    )


def _token_ids(text: str) -> list[int]:
    return [crc32(piece.encode("utf-8", "replace")) % 151_643 for piece in split_pieces(text)] if text else []


def _inputs(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and all(isinstance(item, int) for item in given):
        return [" ".join(map(str, given))]
    if isinstance(given, list) and 0 < len(given) <= 2048:
        return [item if isinstance(item, str) else json.dumps(item) for item in given]
    raise Refusal(status=400, message="'input' is a text or a list of texts.", param="input", shape="prompt")


def _vector(text: str, width: int, form: Any) -> Any:
    """A unit vector that depends on the text alone."""
    data = text.encode("utf-8", "replace")
    raw = [crc32(data, at) % (2 * _WEIGHT) - _WEIGHT for at in range(width)]
    length = sum(one * one for one in raw) ** 0.5 or 1.0
    vector = [one / length for one in raw]
    return b64encode(pack(f"<{width}f", *vector)).decode() if form == "base64" else vector
