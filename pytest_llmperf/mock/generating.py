"""The routes that ask the model: a request becomes a plan, a plan is delivered."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.checks import Refusal, flag, parse_body
from pytest_llmperf.mock.conversation import Conversation, text_of
from pytest_llmperf.mock.delivery import LAST_CHUNK, Delivery, chunked
from pytest_llmperf.mock.dialect import Frames, to_bytes
from pytest_llmperf.mock.faults import CONTENT, FAULTS, Fault, parse_fault
from pytest_llmperf.mock.generation import Ask, Choice, Generation, generate
from pytest_llmperf.mock.http import Call
from pytest_llmperf.mock.openai_ask import chat_ask, completion_asks
from pytest_llmperf.mock.plan import Late, Plan, Timing
from pytest_llmperf.mock.reuse import Written
from pytest_llmperf.mock.rules import Answer, fill_in
from pytest_llmperf.mock.spoil import spoil

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

_NOW = Timing(arrived_ns=0, started_ns=0)


class Generating:
    """Chat, text completion, and Ollama's two of the kind."""

    __slots__ = ("_server",)

    def __init__(self, server: Mock) -> None:
        self._server = server

    def chat(self, call: Call) -> None:
        """/v1/chat/completions."""
        role, one_off = _headers(call)
        state = self._server.state
        call.reusable = (
            role is None
            and one_off is None
            and self._server.plain_engine
            and call.chunked
            and not self._server.dialect.tells_times
            and not state.playbook.faults
            and state.rulebook.steady
        )
        if call.reusable:
            written = state.reuse.get(call.body)
            if written is not None:
                self._send_again(call, written)
                return
        request = parse_body(call.body)
        ask = chat_ask(request, self._server.limits, role=role)
        stream, usage = _stream_options(request)

        def go_on(answer: Answer | None) -> None:
            nonlocal usage
            usage = usage and not _is(call, "no_usage")
            prompt = "" if self._server.plain_engine else _prompt_text(request["messages"])
            made = self._generation(call, "chatcmpl", ask, generate(ask, answer), prompt)
            if stream:
                frames = self._server.dialect.chat_events(made, usage)
                end = (
                    (lambda timing: self._server.dialect.chat_end(made, usage, timing))
                    if self._server.dialect.tells_times
                    else None
                )
                self._stream(call, made, frames, end)
            else:
                self._whole(call, made, lambda timing: self._server.dialect.chat(made, timing))

        self._run(call, ask, stream=stream, one_off=one_off, go_on=go_on)

    def _send_again(self, call: Call, written: Written) -> None:
        """An answer that was written down before, under a new id."""
        state = self._server.state
        call.reusable = False
        call.number = state.number
        new_id = f"chatcmpl-{self._server.dialect.new_id(state.id_rng.getrandbits(64))}"
        parts = written.again(new_id, int(time()))
        dialect = self._server.dialect
        if written.stream:
            head = self._server.head(call, 200, dialect.stream_type, None, dialect.stream_extra)
        else:
            head = self._server.head(call, 200, dialect.json_type, len(parts[-1]))
        plan = Plan(
            head=head, parts=parts, stream=written.stream, frame=chunked, head_late=not written.stream
        )
        self._deliver(call, written.made, plan)

    def completion(self, call: Call) -> None:
        """/v1/completions."""
        request = parse_body(call.body)
        role, one_off = _headers(call)
        asks = completion_asks(request, self._server.limits, role=role)
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
                frames = self._server.dialect.completion_events(made, usage)
                end = (
                    (lambda timing: self._server.dialect.completion_end(made, usage, timing))
                    if self._server.dialect.tells_times
                    else None
                )
                self._stream(call, made, frames, end)
            else:
                self._whole(call, made, lambda timing: self._server.dialect.completion(made, timing))

        self._run(call, asks[0], stream=stream, one_off=one_off, go_on=go_on)

    def ollama_chat(self, call: Call) -> None:
        """/api/chat."""
        self._ollama(call, is_chat=True)

    def ollama_generate(self, call: Call) -> None:
        """/api/generate."""
        self._ollama(call, is_chat=False)

    def _ollama(self, call: Call, *, is_chat: bool) -> None:
        request = parse_body(call.body)
        role, one_off = _headers(call)
        limits = self._server.limits
        make_ask = ollama.chat_ask if is_chat else ollama.generate_ask
        ask = make_ask(
            request,
            models=limits.models,
            max_model_len=limits.max_model_len,
            marker=limits.user_marker,
            role=role,
        )
        if ollama.is_load(request):
            self._server.state.cold |= ollama.is_unload(request)
            self._server.send(call, 200, ollama.loaded(request, chat=is_chat), content_type=ollama.JSON)
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
        state = self._server.state
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
        if not self._server.plain_engine and state.engine.full(tokens):
            state.engine.rejected += 1
            text = "The engine is overloaded: the waiting queue is full."
            refused = Refusal(status=503, message=text, type="ServiceUnavailableError", shape="overloaded")
            self._server.refuse(call, refused, {"retry-after": "1"})
            return
        answer = self._rule_answer(ask.said)
        if answer is not None and answer.callback is not None and self._server.control is not None:
            self._server.control.ask(answer, _for_function(call, ask), go_on)
        else:
            go_on(answer)

    def _rule_answer(self, said: Conversation) -> Answer | None:
        answer = self._server.state.rulebook.first(said)
        return (
            fill_in(answer, said, self._server.state.number)
            if answer is not None and answer.template
            else answer
        )

    def _played_instead(self, call: Call, fault: Fault) -> bool:
        """Whether *fault* is an answer of its own, which is then sent."""
        if fault.kind == "refuse":
            self._server.refuse_for(fault.for_s)
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
        self._server.refuse(
            call, Refusal(status=fault.status, message=message, type=kind, shape="fault"), extra
        )
        return True

    def _generation(
        self, call: Call, prefix: str, ask: Ask, choices: list[Choice], prompt: str
    ) -> Generation:
        fault = call.fault
        if fault is not None and fault.kind in CONTENT:
            choices = spoil(choices, ask, fault)
        state = self._server.state
        cached = 0
        if not self._server.plain_engine:
            cached = state.engine.cached_tokens(prompt, ask.prompt_tokens)
        made = Generation(
            ask=ask,
            choices=choices,
            id=f"{prefix}-{self._server.dialect.new_id(state.id_rng.getrandbits(64))}",
            created=int(time()),
            cached_tokens=cached,
        )
        if fault is not None and fault.kind == "wrong_usage":
            made.completion_tokens = round(made.completion_tokens * fault.factor)
        return made

    def _whole(
        self,
        call: Call,
        made: Generation,
        body: Late,
        *,
        late: bool = False,
        content_type: bytes | None = None,
    ) -> None:
        kind = self._server.dialect.json_type if content_type is None else content_type
        parts = [b""] * made.steps

        def last(timing: Timing) -> bytes:
            data = body(timing)
            return self._server.head(call, 200, kind, len(data)) + data

        if _is(call, "no_usage"):
            body = _without_usage(body)
        if late or self._server.dialect.tells_times:
            plan = Plan(head=b"", parts=parts, stream=False, last=last)
            if call.fault is not None:  # a fault works on bytes
                plan.head, plan.parts[-1], plan.last = (
                    self._server.head(call, 200, kind, len(body(_NOW))),
                    body(_NOW),
                    None,
                )
        else:
            data = body(_NOW)
            parts[-1] = data
            plan = Plan(
                head=self._server.head(call, 200, kind, len(data)), parts=parts, stream=False, head_late=True
            )
        self._deliver(call, made, plan)

    def _stream(
        self, call: Call, made: Generation, frames: Frames, end: Late | None, *, native: bool = False
    ) -> None:
        dialect = self._server.dialect
        frame = chunked if call.chunked else bytes
        parts = [b""] * made.steps
        for step, data in frames:
            parts[step] += frame(data)
        close = (b"" if native else frame(dialect.done)) + (LAST_CHUNK if call.chunked else b"")
        kind = ollama.NDJSON if native else dialect.stream_type
        if not call.chunked:
            call.keep_alive = False
        head = self._server.head(call, 200, kind, None, dialect.stream_extra)
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
        state = self._server.state
        if call.reusable:
            state.reuse.put(call.body, made, plan)
        call.status = plan.status
        plan.ttft_ns, plan.gaps = state.draw_delays(made.steps, call.arrived_ns)
        latency = state.latency
        prefill_ns = cold_ns = 0
        if latency.prefill_s:
            prefill_ns = round(latency.prefill_s * (made.ask.prompt_tokens - made.cached_tokens) * 1e9)
            plan.ttft_ns += prefill_ns
        if state.cold:
            cold_ns = round(latency.cold_start_s * 1e9)
            plan.ttft_ns += cold_ns
            state.cold = False
        state.number += 1
        state.running += 1
        if call.fault is not None and call.fault.kind in FAULTS:
            FAULTS[call.fault.kind](plan, call.fault)
        engine = None if self._server.plain_engine else state.engine
        tokens = made.ask.prompt_tokens + made.completion_tokens
        call.delivery = delivery = Delivery(
            call, plan, timers=self._server.timers, watcher=engine, made=made, tokens=tokens
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
