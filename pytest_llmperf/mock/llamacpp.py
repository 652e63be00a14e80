"""llama.cpp's server as a dialect: its head, its errors, its list of models, and who writes the rest."""

from __future__ import annotations

from dataclasses import replace
from time import time
from typing import Any

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import HeadWriter, to_bytes
from pytest_llmperf.mock.llamacpp_answers import (
    chat,
    chat_end,
    chat_events,
    completion,
    completion_end,
    completion_events,
)
from pytest_llmperf.mock.llamacpp_demands import LLAMACPP_DEMANDS
from pytest_llmperf.mock.vllm import PLAIN

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LOST = b'{"error":{"message":"File Not Found","type":"not_found_error","code":404}}'


def _refusal(refused: Refusal) -> tuple[int, bytes]:
    """The error in llama.cpp's words; codes and kinds as recorded."""
    status, kind, message, more = refused.status, "invalid_request_error", refused.message, {}
    shape = refused.shape
    if shape == "own":
        kind = "server_error" if status >= 500 else kind
    elif shape.startswith("json") or refused.param == "body":
        status, kind, message = (
            500,
            "server_error",
            f"[json.exception.parse_error.101] {_parse_error(refused)}",
        )
    elif shape == "schema":
        reason = str(refused.value or refused.message).replace("Invalid type: ", "unrecognized type ")
        message = (
            "Unable to generate parser for this template. Automatic parser generation failed: "
            f"JSON schema error at #: {reason}"
        )
    elif shape == "context":
        window, tokens = refused.value
        kind = "exceed_context_size_error"
        message = f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"  # noqa: E501
        more = {"n_prompt_tokens": tokens, "n_ctx": window}
    elif status == 501:
        kind = "not_supported_error"
    elif status == 503:
        kind, message = "unavailable_error", message if shape == "fault" else "Loading model"
    elif status >= 500:
        kind = "server_error"
    return status, to_bytes({"error": {"code": status, "message": message, "type": kind, **more}})


def _parse_error(refused: Refusal) -> str:
    if refused.param == "body":
        return (
            "parse error at line 1, column 1: attempting to parse an empty input; check that your input "
            "string or stream contains the expected JSON"
        )
    at = (refused.param or "body.0").removeprefix("body.")
    column = int(at) + 1 if at.isdigit() else 1
    return (
        f"parse error at line 1, column {column}: syntax error while parsing value - unexpected character; "
        "expected '[', '{', or a literal"
    )


def _models(names: tuple[str, ...], max_model_len: int) -> dict[str, Any]:
    now = int(time())
    blank = {
        "parent_model": "",
        "format": "gguf",
        "family": "",
        "families": [""],
        "parameter_size": "",
        "quantization_level": "",
    }
    return {
        "models": [
            {
                "name": name,
                "model": name,
                "modified_at": "",
                "size": "",
                "digest": "",
                "type": "model",
                "description": "",
                "tags": [""],
                "capabilities": ["completion"],
                "parameters": "",
                "details": blank,
            }
            for name in names
        ],
        "object": "list",
        "data": [
            {
                "id": name,
                "aliases": [name],
                "tags": [],
                "object": "model",
                "created": now,
                "owned_by": "llamacpp",
                "meta": {
                    "vocab_type": 2,
                    "n_vocab": 151936,
                    "n_ctx": max_model_len,
                    "n_ctx_train": max_model_len,
                    "n_embd": 2048,
                    "n_params": 3085938688,
                    "size": 1924530176,
                    "ftype": "Q4_K - Medium",
                },
            }
            for name in names
        ],
    }


def _new_id(bits: int) -> str:
    letters = []
    state = bits | 1 << 64
    for _ in range(32):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**128
        letters.append(_LETTERS[(state >> 64) % 62])
    return "".join(letters)


LLAMACPP = replace(
    PLAIN,
    bare_head=HeadWriter("HTTP/1.1 {status} {reason}\r\nServer: llama.cpp{close}{length}", title=True),
    demands=LLAMACPP_DEMANDS,
    errors_say_close=True,
    answers_head=True,
    name="llamacpp",
    head=HeadWriter(
        "HTTP/1.1 {status} {reason}\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: "
        "{more}{type}{length}{chunked}{close}",
        title=True,
        alive="Keep-Alive: timeout=5, max=100",
    ),
    closes_streams=True,
    closes_after=100,
    json_type=b"application/json; charset=utf-8",
    stream_type=b"text/event-stream",
    stream_extra={"X-Accel-Buffering": "no"},
    refusal=_refusal,
    not_found=lambda _method, _path: (404, _LOST),
    not_allowed=lambda _method, _path: (404, _LOST),
    models=_models,
    chat=chat,
    chat_events=chat_events,
    chat_end=chat_end,
    completion=completion,
    completion_events=completion_events,
    completion_end=completion_end,
    tells_times=True,
    lenient=frozenset({"own_model", "sampling", "max_tokens", "empty"}),
    new_id=_new_id,
)
