"""What an observed request of the user's own client amounts to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.counting import Counter
from pytest_llmperf.client.encoding import decoder
from pytest_llmperf.client.observation import Observation
from pytest_llmperf.client.redact import redact
from pytest_llmperf.client.reply import read_json
from pytest_llmperf.client.schema import Check, Schemas
from pytest_llmperf.core.backend import Timeouts
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.exchange import Exchange, FailureKind
from pytest_llmperf.wire.dialect import Call
from pytest_llmperf.wire.dialects import dialect, kind_of
from pytest_llmperf.wire.json_value import JsonObject, as_items, as_object, as_text, loads

#: The client's own timeouts hold; ours do not end what is only watched.
_NO_TIMEOUTS = Timeouts()


class Reading:
    """Reads observations with the same eyes as our own clients' answers."""

    def __init__(self, count: Counter, *, secrets: Sequence[str | None] = ()) -> None:
        """*count* adds the tokens that no usage tells; *secrets* never stay in the text of a failure."""
        self._count = count
        self._secrets = tuple(secrets)
        self._schemas = Schemas()

    def exchange(self, seen: Observation, *, due_s: float) -> Exchange:
        """What *seen*, which is over and asks a model, amounts to."""
        kind = kind_of(seen.target)
        assert kind is not None
        asked = _asked(seen.body)
        call = _call(asked, kind)
        attempt = Attempt(call, dialect(kind), _NO_TIMEOUTS, due_s=due_s, began_s=seen.began_s)
        _replay(seen, attempt)
        valid: bool | None = None
        answer = attempt.answer
        if answer.failure is None and not (answer.tool_calls and not answer.text):
            check = self._check(asked)
            valid = None if check is None else read_json(answer.text, check).reason is None
        exchange = attempt.exchange(tokens=attempt.tokens(self._count), json_valid=valid)
        if exchange.failure is not None:
            message = redact(exchange.failure.message, self._secrets)
            exchange = replace(exchange, failure=replace(exchange.failure, message=message))
        return exchange

    def _check(self, asked: JsonObject) -> Check | None:
        try:
            return self._schemas.asked_by(asked)
        except LlmPerfUsageError:
            return loads  # the server took a schema that is none: JSON it has to be all the same


def _replay(seen: Observation, attempt: Attempt) -> None:
    """Tell *attempt* what happened."""
    assert seen.done_s is not None
    if seen.sent_s is not None:
        attempt.sending(seen.sent_s)
    if seen.status is not None:
        decode = decoder(seen.encoding)
        attempt.head(seen.status, seen.content_type, "" if decode else seen.encoding, seen.head_s)
        for at_s, data in seen.pieces:
            if attempt.finished or decode is None:
                break
            try:
                attempt.body(decode(data), at_s)
            except ValueError as error:
                attempt.fail(FailureKind.MALFORMED, str(error), at_s)
    match seen.failure:
        case None:
            attempt.end(seen.done_s, complete=True)
        case FailureKind.CUT:
            attempt.end(seen.done_s, complete=False)
        case FailureKind.CANCELLED:
            attempt.leave(seen.message, seen.done_s)
        case FailureKind.TIMEOUT_STALL:
            attempt.fail(attempt.waited_for, seen.message, seen.done_s)
        case kind:
            attempt.fail(kind, seen.message, seen.done_s)


def _asked(body: bytes) -> JsonObject:
    try:
        return as_object(loads(body.decode("utf-8")))
    except ValueError:
        return {}  # the server says what it thinks of that


def _call(asked: JsonObject, kind: str) -> Call:
    """The call that a request's body makes."""
    messages = asked.get("messages")
    prompt = [message for message in as_items(messages) if isinstance(message, Mapping)]
    return Call(
        model=as_text(asked.get("model")),
        prompt=prompt if messages is not None else as_text(asked.get("prompt")),
        stream=asked.get("stream", kind == "ollama") is True,
    )
