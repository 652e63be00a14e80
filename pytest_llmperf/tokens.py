"""Counts tokens, and says who counted: the server, a local tokenizer, or nobody but a rule of thumb."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from pytest_llmperf.client.calls import authorization, without_credentials
from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.trust import trust
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.estimate import estimated_tokens
from pytest_llmperf.core.exchange import TokenSource
from pytest_llmperf.wire.dialect import Message
from pytest_llmperf.wire.endpoint import root_url
from pytest_llmperf.wire.json_value import as_count, as_items, as_object, loads

_TIMEOUT_S = 5.0


class TokenCount(int):
    """A number of tokens that knows who counted it."""

    source: TokenSource
    name: str  #: for people, such as "server /tokenize" or "tokenizer qwen.json"

    def __new__(cls, value: int, source: TokenSource = TokenSource.ESTIMATE, name: str = "estimate") -> Self:
        """*value* tokens, counted by *source*."""
        count = super().__new__(cls, value)
        count.source, count.name = source, name
        return count

    def __reduce__(self) -> tuple[type[TokenCount], tuple[int, TokenSource, str]]:
        return TokenCount, (int(self), self.source, self.name)

    def __repr__(self) -> str:
        return f"<TokenCount {int(self)} by {self.name}>"


class TokenCounter:
    """Counts by the server's ``/tokenize``, else by a tokenizer.json, else by the estimate.

    The server is asked once whether it can count; after that the same one counts everything, so
    that numbers can be compared.
    """

    def __init__(self, backend: Backend, *, tokenizer: str | Path | None = None) -> None:
        """*tokenizer*: a local tokenizer.json. Raises LlmPerfUsageError when it cannot be read."""
        self._backend = backend
        self._local = None if tokenizer is None else _local_counter(Path(tokenizer))
        self._http: httpx.Client | None = None
        self._server_counts: bool | None = None if backend.kind == "openai" else False

    def __call__(self, text: str | Sequence[Message]) -> TokenCount:
        """The tokens of a text, or of messages with what the chat template adds, if the server counts."""
        if self._server_counts is not False:
            count = self._by_server(text)
            if self._server_counts is None:
                self._server_counts = count is not None
            if count is not None:
                return count
        plain = text if isinstance(text, str) else "\n".join(_contents(text))
        if self._local is not None:
            return self._local(plain)
        return TokenCount(estimated_tokens(plain))

    def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _by_server(self, text: str | Sequence[Message]) -> TokenCount | None:
        if isinstance(text, str):
            # vLLM reads prompt, llama.cpp content
            return self._asked(
                {"prompt": text, "content": text, "add_special_tokens": False}, "server /tokenize"
            )
        counted = self._asked({"messages": list(text)}, "server /tokenize")
        if counted is not None:
            return counted
        plain = "\n".join(_contents(text))
        return self._asked({"prompt": plain, "content": plain}, "server /tokenize, without the chat template")

    def _asked(self, question: dict[str, object], name: str) -> TokenCount | None:
        body = {"model": self._backend.model, **question} if self._backend.model else question
        url = root_url(without_credentials(self._backend.url), "/tokenize")
        try:
            answer = self._client().post(
                url, content=json.dumps(body), headers={"Content-Type": "application/json"}
            )
            parsed = as_object(loads(answer.text))
        except (httpx.HTTPError, ValueError):
            return None
        tokens = parsed.get("tokens")
        count = as_count(parsed.get("count"))
        if count is None and isinstance(tokens, list):
            count = len(as_items(tokens))
        # llama.cpp answers messages, which it does not know here, with an empty list
        asked_nothing = answer.status_code != 200 or count is None or (count == 0 and "messages" in question)
        return None if asked_nothing or count is None else TokenCount(count, TokenSource.SERVER, name)

    def _client(self) -> httpx.Client:
        if self._http is None:
            self._http = httpx.Client(
                headers=authorization(self._backend),
                timeout=_TIMEOUT_S,
                proxy=proxy_for(self._backend.url),
                trust_env=False,
                verify=trust(self._backend.url),
            )
        return self._http


def _contents(messages: Sequence[Message]) -> list[str]:
    """The texts of messages."""
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        parts = (
            [content]
            if isinstance(content, str)
            else [as_object(part).get("text") for part in as_items(content)]
        )
        texts += [part for part in parts if isinstance(part, str)]
    return texts


def _local_counter(path: Path) -> Callable[[str], TokenCount]:
    try:
        tokenizers: Any = importlib.import_module("tokenizers")  # Any: an optional package
    except ImportError:
        raise LlmPerfUsageError(
            f'{path}: counting by a tokenizer.json needs: pip install "pytest-llmperf[tokenizers]"'
        ) from None
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the package raises bare Exception
        raise LlmPerfUsageError(f"{path} is not a tokenizer.json: {error}") from None

    def count(text: str) -> TokenCount:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return TokenCount(len(ids), TokenSource.TOKENIZER, f"tokenizer {path.name}")

    return count
