"""What both clients share: from arguments to a call, from an attempt to a reply."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote, urlsplit, urlunsplit

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.recorder import Recorder
from pytest_llmperf.client.redact import redact, safe_url, secrets_of
from pytest_llmperf.client.reply import JsonReading, Reply, RequestFailed, read_json
from pytest_llmperf.client.schema import Check, Schemas, as_schema
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import Exchange, Tokens
from pytest_llmperf.wire.dialect import Call, Message, Request
from pytest_llmperf.wire.dialects import DIALECTS, dialect
from pytest_llmperf.wire.json_value import JsonObject


class Calls:
    """The calls to one backend."""

    def __init__(self, backend: Backend, recorder: Recorder) -> None:
        if backend.kind not in DIALECTS:
            raise LlmPerfUsageError(
                f"backend {backend.name}: kind {backend.kind!r} is none of {', '.join(DIALECTS)}"
            )
        self.backend = backend
        self._base_url = without_credentials(backend.url)
        self.headers = {
            "Accept": "text/event-stream, application/x-ndjson, application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "pytest-llmperf",
            **authorization(backend),
        }
        self._dialect = dialect(backend.kind)
        self._recorder = recorder
        self._schemas = Schemas()
        self._heads: dict[str, bytes] = {}

    def chat(
        self,
        model: str,
        prompt: str | Sequence[Message],
        *,
        system: str | None,
        schema: object,
        tools: Sequence[JsonObject] | None,
        stream: bool,
        params: Mapping[str, object],
    ) -> tuple[Call, Check | None]:
        """A chat, and the check of its reply. Raises LlmPerfUsageError."""
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if system is not None:
            messages = [{"role": "system", "content": system}, *messages]
        wanted = as_schema(schema)
        model, given = _asked(model, params)
        call = Call(model=model, prompt=messages, schema=wanted, tools=tools, stream=stream, params=given)
        return call, self._check(wanted, given)

    def completion(self, model: str, prompt: str, *, stream: bool, params: Mapping[str, object]) -> Call:
        """A completion of a text."""
        model, given = _asked(model, params)
        return Call(model=model, prompt=prompt, stream=stream, params=given)

    def request(self, call: Call) -> Request:
        """What to send. Raises LlmPerfUsageError."""
        try:
            return self._dialect.request(self._base_url, call)
        except (TypeError, ValueError) as error:
            raise LlmPerfUsageError(f"this call cannot be sent as JSON: {error}") from None

    def raw(self, request: Request) -> bytes:
        """*request* as it goes over the wire, in HTTP/1.1."""
        if request.url not in self._heads:
            parts = urlsplit(request.url)
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc}"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            self._heads[request.url] = ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")
        return b"%s%d\r\n\r\n%s" % (self._heads[request.url], len(request.body), request.body)

    def attempt(self, call: Call, *, entered_s: float) -> Attempt:
        """The measurement of *call*, which was asked for at *entered_s*."""
        due_s = self._recorder.due_s(entered_s)
        return Attempt(call, self._dialect, self.backend.timeouts, due_s=due_s, began_s=entered_s)

    def settle(self, attempt: Attempt, check: Check | None, tokens: Tokens | None) -> Reply:
        """Record what became of it. Raises RequestFailed."""
        answer = attempt.answer
        if answer.failure is not None:
            exchange = self.record(attempt)
            raise RequestFailed(exchange.failure or answer.failure, exchange)
        reading: JsonReading | None = None
        # a tool call is an answer of its own kind: no JSON was promised with it
        if check is not None and not (answer.tool_calls and not answer.text):
            reading = read_json(answer.text, check)
        exchange = attempt.exchange(
            tokens=tokens, json_valid=None if reading is None else reading.reason is None
        )
        reply = Reply(answer, exchange, attempt.payloads)
        reply.attach(self._recorder, self._recorder.add(exchange), reading)
        return reply

    def record(self, attempt: Attempt) -> Exchange:
        """Record a failed attempt."""
        exchange = attempt.exchange(tokens=attempt.answer.tokens)
        if exchange.failure is not None:
            failure = replace(exchange.failure, message=self.redact(exchange.failure.message))
            exchange = replace(exchange, failure=failure)
        self._recorder.add(exchange)
        return exchange

    def redact(self, text: str) -> str:
        """*text* without the secrets of this backend."""
        return redact(text, secrets_of(self.backend.url, self.backend.api_key))

    def _check(self, schema: JsonObject | None, params: Mapping[str, object]) -> Check | None:
        if schema is not None:
            return self._schemas.check(schema)
        return self._schemas.asked_by(params)


def _asked(model: str, params: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """The model that is asked, which *params* may name, and the parameters without it."""
    given = dict(params)
    return str(given.pop("model", None) or model), given


def authorization(backend: Backend) -> dict[str, str]:
    """The header that proves who we are: the key, else user and password of the URL."""
    parts = urlsplit(backend.url)
    if backend.api_key:
        if (parts.hostname or "").endswith(".azure.com"):
            return {"api-key": backend.api_key}
        return {"Authorization": f"Bearer {backend.api_key}"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {}


def without_credentials(url: str) -> str:
    """*url* as it is sent: the query stays, user and password go. Raises LlmPerfUsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise LlmPerfUsageError(f"the URL {safe_url(url)} cannot be used: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise LlmPerfUsageError(f"the URL {safe_url(url)!r} must look like http://host:port/v1")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
