"""What the time of a request is made of, kept beside the metrics so that a regression can be taken apart."""

from __future__ import annotations

from collections.abc import Callable

from pytest_llmperf.core.exchange import Exchange


def _wait_s(exchange: Exchange) -> float | None:
    return exchange.sent_s - exchange.due_s


def _cached_share(exchange: Exchange) -> float | None:
    tokens = exchange.tokens
    if tokens is None or tokens.cached is None or not tokens.input:
        return None
    return tokens.cached / tokens.input


def _load_s(exchange: Exchange) -> float | None:
    return exchange.server_load_s


def _prompt_s(exchange: Exchange) -> float | None:
    return exchange.server_prompt_s


def _generate_s(exchange: Exchange) -> float | None:
    return exchange.server_generate_s


#: Name of the series -> its value for one request; None where it is not known.
PARTS: dict[str, Callable[[Exchange], float | None]] = {
    "wait_s": _wait_s,  # due to sent: connecting, or a client that fell behind
    "cached_share": _cached_share,  # of the input tokens, taken from the server's prefix cache
    "server_load_s": _load_s,  # loading the model: a cold start
    "server_prompt_s": _prompt_s,  # reading the prompt
    "server_generate_s": _generate_s,  # generating
}

#: Series that a stored run keeps besides times, for the same purpose.
COUNTED = ("input_tokens", "output_tokens", "cached_share")
