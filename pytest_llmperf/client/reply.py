"""What a call gives back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pytest_llmperf.client.recorder import Recorder
from pytest_llmperf.client.schema import Check
from pytest_llmperf.core.exchange import Exchange, Failure, Tokens
from pytest_llmperf.wire.answer import Answer, ToolCall
from pytest_llmperf.wire.errors import excerpt
from pytest_llmperf.wire.json_value import loads

_MS = 1e3


class RequestFailed(Exception):  # noqa: N818 - users read it as a sentence
    """A request failed. It is recorded and counted; its time is never a latency."""

    def __init__(self, failure: Failure, exchange: Exchange) -> None:
        super().__init__(failure, exchange)  # both in args, so that it pickles
        self.failure = failure
        self.exchange = exchange

    def __str__(self) -> str:
        return f"{self.failure.kind}: {self.failure.message}"


class InvalidJson(ValueError):  # noqa: N818 - users read it as a sentence
    """The reply is not JSON, or does not match the schema. It is counted in ``json_valid``."""

    def __init__(self, reason: str, reply: Reply) -> None:
        super().__init__(reason, reply)
        self.reason = reason
        self.reply = reply

    def __str__(self) -> str:
        return f"the reply is not the JSON that was asked for: {self.reason}"


@dataclass(frozen=True, slots=True)
class JsonReading:
    """A reply's text read as JSON."""

    parsed: object = None
    reason: str | None = None  #: why it is not the JSON that was asked for


def read_json(text: str, check: Check) -> JsonReading:
    """*text* as JSON that *check* accepts."""
    try:
        return JsonReading(parsed=check(text))
    except (ValueError, RecursionError) as error:
        return JsonReading(reason=excerpt(str(error)) or "not JSON")


class Reply:
    """One answer of a model, with its measurement."""

    def __init__(self, answer: Answer, exchange: Exchange, payloads: Iterable[bytes]) -> None:
        """*payloads*: the JSON texts that came."""
        self.text = answer.text
        self.reasoning = answer.reasoning  #: what a reasoning parser kept apart
        self.tool_calls: tuple[ToolCall, ...] = answer.tool_calls
        self.exchange = exchange
        self._payloads = payloads
        self._reading: JsonReading | None = None
        self._record: tuple[Recorder, int] | None = None

    def attach(self, recorder: Recorder, handle: int, reading: JsonReading | None) -> None:
        """Remember where it was recorded, and its JSON where that was read already."""
        self._record, self._reading = (recorder, handle), reading

    @property
    def json(self) -> Any:  # Any: what it holds is between the user and the model
        """The text as JSON, matching the schema if one was given. Raises InvalidJson; both are counted."""
        __tracebackhide__ = True  # pytest shows the line that asked
        if self._reading is None:
            self._reading = read_json(self.text, loads)
            self.exchange = replace(self.exchange, json_valid=self._reading.reason is None)
            if self._record is not None:
                recorder, handle = self._record
                recorder.amend(handle, self.exchange)
        if self._reading.reason is not None:
            raise InvalidJson(self._reading.reason, self)
        return self._reading.parsed

    @cached_property
    def raw(self) -> tuple[object, ...]:
        """The JSON objects as they came: one, or one for each chunk."""
        return tuple(map(loads, self._payloads))

    @property
    def tokens(self) -> Tokens:
        """The token counts, and who counted them."""
        return self.exchange.tokens or Tokens()

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, such as stop, length or tool_calls."""
        return self.exchange.finish_reason

    @property
    def latency_ms(self) -> float:
        """From the call to the last byte, in milliseconds."""
        return self.exchange.latency_s * _MS

    @property
    def ttft_ms(self) -> float | None:
        """From the call to the first token, in milliseconds; None for an answer that was not streamed."""
        return None if self.exchange.ttft_s is None else self.exchange.ttft_s * _MS

    def __repr__(self) -> str:
        return f"<Reply {excerpt(self.text)!r} {self.latency_ms:.1f} ms>"

    def __getstate__(self) -> dict[str, object]:
        # a recorder belongs to its process
        return {**self.__dict__, "_record": None}
