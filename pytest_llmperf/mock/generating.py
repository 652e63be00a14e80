"""The routes that ask the model: a request becomes a plan, a plan is delivered."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any

from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal, flag, no_json, parse_body
from pytest_llmperf.mock.conversation import Conversation, text_of
from pytest_llmperf.mock.dialect import NDJSON
from pytest_llmperf.mock.faults import CONTENT, Fault
from pytest_llmperf.mock.generation import Ask, Choice, Generation, generate
from pytest_llmperf.mock.instead import played_instead
from pytest_llmperf.mock.native import Native
from pytest_llmperf.mock.obfuscation import pad, wants_padding
from pytest_llmperf.mock.one_off import role_and_fault
from pytest_llmperf.mock.openai_ask import chat_ask, completion_asks
from pytest_llmperf.mock.plan import Late
from pytest_llmperf.mock.rules import Answer, fill_in
from pytest_llmperf.mock.spoil import spoil
from pytest_llmperf.mock.writing import Writing

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock


class Generating:
    """Chat, text completion, and Ollama's two of the kind."""

    __slots__ = ("_server", "_writing")

    def __init__(self, server: Mock) -> None:
        self._server = server
        self._writing = Writing(server)

    def chat(self, call: Call) -> None:
        """/v1/chat/completions."""
        server = self._server
        dialect, state = server.dialect, server.state
        if dialect.demands.only_json and not call.head.is_json:
            raise no_json()
        role, one_off = role_and_fault(call) if call.head.marked else (None, None)
        call.reusable = (
            role is None
            and one_off is None
            and server.plain_engine
            and call.head.chunked
            and not dialect.tells_times
            and not state.playbook.faults
            and state.rulebook.steady
        )
        if call.reusable and (written := state.reuse.get(call.body)) is not None:
            self._writing.again(call, written)
            return
        request = parse_body(call.body)
        ask = chat_ask(request, server.limits, role=role)
        stream, usage = _stream_options(request)
        padded = dialect.pads and wants_padding(request)

        def go_on(answer: Answer | None) -> None:
            if call.reusable and ask.plain and answer is not None and not padded:
                call.reuse_key = (answer, ask.said.model, ask.prompt_tokens, ask.max_tokens, stream, usage)
                if (written := state.reuse.get(call.reuse_key)) is not None:
                    state.reuse.know(call.body, written)
                    self._writing.again(call, written)
                    return
            prompt = "" if server.plain_engine else _prompt_text(request["messages"])
            made = self._generation(call, "chatcmpl", ask, generate(ask, answer), prompt)
            if not stream:
                self._writing.whole(call, made, lambda timing: dialect.chat(made, timing))
                return
            frames = dialect.chat_events(made, usage)
            if padded:
                frames = pad(frames, made.id)
            end: Late | None = None
            if dialect.tells_times:
                end = lambda timing: dialect.chat_end(made, usage, timing)  # noqa: E731 - as short as it is
            self._writing.stream(call, made, frames, end)

        self._run(call, ask, stream=stream, one_off=one_off, go_on=go_on)

    def completion(self, call: Call) -> None:
        """/v1/completions."""
        if self._server.dialect.demands.only_json and not call.head.is_json:
            raise no_json()
        request = parse_body(call.body)
        role, one_off = role_and_fault(call)
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
            dialect = self._server.dialect
            if stream:
                end: Late | None = None
                if dialect.tells_times:
                    end = lambda timing: dialect.completion_end(made, usage, timing)  # noqa: E731 - as above
                self._writing.stream(call, made, dialect.completion_events(made, usage), end)
            else:
                self._writing.whole(call, made, lambda timing: dialect.completion(made, timing))

        self._run(call, asks[0], stream=stream, one_off=one_off, go_on=go_on)

    def native(self, kind: Native) -> Callable[[Call], None]:
        """The route of a server's own interface."""

        def answer(call: Call) -> None:
            request = parse_body(call.body)
            role, one_off = role_and_fault(call)
            ask = kind.ask(request, self._server.limits, role)
            stream = kind.streams(request)

            def go_on(said: Answer | None) -> None:
                made = self._generation(call, "native", ask, generate(ask, said), ask.said.user)
                if stream:
                    end: Late | None = None
                    if (write := kind.end) is not None:
                        end = lambda timing: write(request, made, timing)  # noqa: E731 - as above
                    frames = kind.events(request, made)
                    self._writing.stream(call, made, frames, end, done=kind.done)
                else:
                    self._writing.whole(
                        call, made, lambda timing: kind.whole(request, made, timing), late=True
                    )

            self._run(call, ask, stream=stream, one_off=one_off, go_on=go_on)

        return answer

    def ollama_chat(self, call: Call) -> None:
        """/api/chat."""
        self._ollama(call, is_chat=True)

    def ollama_generate(self, call: Call) -> None:
        """/api/generate."""
        self._ollama(call, is_chat=False)

    def _ollama(self, call: Call, *, is_chat: bool) -> None:
        request = parse_body(call.body)
        role, one_off = role_and_fault(call)
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
            said = ollama.understood(generate(ask, answer)[0])
            made = self._generation(call, "ollama", ask, [said], prompt)
            if ollama.is_streamed(request):
                frames = ollama.chat_events(made) if is_chat else ollama.generate_events(made)
                end = ollama.chat_end if is_chat else ollama.generate_end
                self._writing.stream(
                    call, made, frames, lambda timing: end(made, timing), content_type=NDJSON, done=b""
                )
            else:
                body = ollama.chat if is_chat else ollama.generate
                self._writing.whole(
                    call, made, lambda timing: body(made, timing), late=True, content_type=ollama.JSON
                )

        self._run(call, ask, stream=ollama.is_streamed(request), one_off=one_off, go_on=go_on)

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
            if played_instead(self._server, call, fault):
                return
        if not self._server.plain_engine and state.engine.full(ask.prompt_tokens + 1):
            state.engine.rejected += 1
            text = "The engine is overloaded: the waiting queue is full."
            refused = Refusal(status=503, message=text, type="ServiceUnavailableError", shape="overloaded")
            self._server.refuse(call, refused, {"retry-after": "1"})
            return
        answer = self._rule_answer(ask.said)
        if answer is not None and answer.callback is not None and self._server.control is not None:
            self._server.control.ask(call, answer, _for_function(call, ask), go_on)
        else:
            go_on(answer)

    def _rule_answer(self, said: Conversation) -> Answer | None:
        answer = self._server.state.rulebook.first(said)
        return (
            fill_in(answer, said, self._server.state.number)
            if answer is not None and answer.template
            else answer
        )

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


def _stream_options(request: dict[str, Any]) -> tuple[bool, int]:
    """Whether to stream, and whether to tell usage: 0, 1 at the end, 2 in every chunk."""
    options = request.get("stream_options")
    if not isinstance(options, dict) or not options.get("include_usage"):
        return flag(request.get("stream")), 0
    return flag(request.get("stream")), 2 if options.get("continuous_usage_stats") else 1


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
