"""One request to a model and what came back, as the client saw it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Why a request is not a success. The kinds are counted apart, none is ever a latency."""

    CONNECT = "connect"  #: refused, reset while connecting, no route
    DNS = "dns"  #: the host name did not resolve
    TLS = "tls"  #: certificate or handshake
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_TOKEN = "timeout_first_token"  # noqa: S105 - a kind of failure, no secret
    TIMEOUT_STALL = "timeout_stall"  #: too long between two pieces of the answer
    TIMEOUT_TOTAL = "timeout_total"
    HTTP_STATUS = "http_status"  #: an answer other than 2xx
    STREAM_ERROR = "stream_error"  #: an error object inside an answer with status 200
    CUT = "cut"  #: the answer ended before its end was announced
    MALFORMED = "malformed"  #: bytes that the dialect does not allow
    CONTENT_FILTER = "content_filter"  #: finish_reason "content_filter"
    CONTEXT_LENGTH = "context_length"  #: the prompt does not fit the model
    CANCELLED = "cancelled"  #: the caller gave up
    STEP = "step"  #: a timed step raised, in a scenario that asks no model


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong with one request. The text never holds a secret."""

    kind: FailureKind
    message: str  #: one line, with an excerpt of the body where there is one
    status: int | None = None  #: HTTP status, where an answer came


class TokenSource(StrEnum):
    """Who counted the tokens."""

    SERVER = "server"  #: the answer's usage, or the server's /tokenize
    TOKENIZER = "tokenizer"  #: a local tokenizer.json
    ESTIMATE = "estimate"  #: max(words, characters / 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Token counts of one request. None: not told."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None  #: part of *input* served from a prefix cache
    reasoning: int | None = None  #: part of *output* spent on reasoning
    source: TokenSource = TokenSource.SERVER

    @property
    def total(self) -> int | None:
        """Input and output together, None unless both are known."""
        return None if self.input is None or self.output is None else self.input + self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request as the client saw it.

    Every ``*_s`` is in seconds on the clock of ``time.perf_counter()``, stamped when the bytes
    arrived and before anything was parsed.
    """

    due_s: float  #: when it was wanted: the entry of ``chat()``, or what the load profile says
    sent_s: float  #: when it was sent; later than *due_s* if the client fell behind
    first_byte_s: float | None = None  #: the first byte of the answer
    first_token_s: float | None = None  #: first non-empty content, reasoning or tool-call delta
    first_answer_s: float | None = None  #: the same without reasoning
    chunk_s: tuple[float, ...] = ()  #: arrival of every delta that carried something
    done_s: float  #: last byte, or the moment of the failure
    streamed: bool = True
    model: str = ""
    finish_reason: str | None = None
    tokens: Tokens | None = None
    characters: int = 0  #: length of the text that came back
    server_load_s: float | None = None  #: loading the model, as the server says: a cold start
    server_prompt_s: float | None = None  #: reading the prompt, as the server says
    server_generate_s: float | None = None  #: generating, as the server says
    prompt: str = ""  #: the same for the same prompt; empty: not known
    json_valid: bool | None = None  #: None when no JSON was asked for
    failure: Failure | None = None

    @property
    def latency_s(self) -> float:
        """Due to last byte: queueing in the client counts, so that a slow server cannot hide it."""
        return self.done_s - self.due_s

    @property
    def ttft_s(self) -> float | None:
        """Time to first token: due to the first delta that carries something."""
        return None if self.first_token_s is None else self.first_token_s - self.due_s
