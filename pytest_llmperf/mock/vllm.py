"""vLLM as a dialect: its heads, its errors, its list of models, and who writes the rest."""

from __future__ import annotations

from dataclasses import replace
from time import time
from typing import Any
from zlib import crc32

from pytest_llmperf.mock.checks import Refusal
from pytest_llmperf.mock.dialect import Dialect, HeadWriter, to_bytes
from pytest_llmperf.mock.vllm_chat import chat, chat_events
from pytest_llmperf.mock.vllm_completion import completion, completion_events
from pytest_llmperf.mock.vllm_demands import VLLM_DEMANDS

HEAD = HeadWriter(
    "HTTP/1.1 {status} {reason}\r\ndate: {date}\r\nserver: uvicorn{more}{length}{type}\r\n"
    "vary: Origin{close}{chunked}"
)
#: of an answer to what is no HTTP
BARE_HEAD = HeadWriter("HTTP/1.1 {status} {reason}\r\ndate: {date}\r\nserver: uvicorn{type}{length}{close}")


def refusal(refused: Refusal) -> tuple[int, bytes]:
    """The error object."""
    if refused.shape == "json":  # no UTF-8: the web framework answers in its own words
        return refused.status, to_bytes({"detail": refused.message})
    param = None if refused.shape == "unnamed" else refused.param
    error = {"message": refused.message, "type": refused.type, "param": param, "code": refused.status}
    return refused.status, to_bytes({"error": error})


def models(names: tuple[str, ...], max_model_len: int) -> dict[str, Any]:
    """The list of models."""
    now = int(time())
    permission = {
        "object": "model_permission",
        "created": now,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    listed = [
        {
            "id": name,
            "object": "model",
            "created": now,
            "owned_by": "vllm",
            "root": name,
            "parent": None,
            "max_model_len": max_model_len,
            "permission": [{"id": f"modelperm-{crc32(name.encode('utf-8', 'replace')):016x}", **permission}],
        }
        for name in names
    ]
    return {"object": "list", "data": listed}


#: vLLM's bytes without its demands: what the dialects of other servers start from
PLAIN = Dialect(
    name="vllm",
    head=HEAD,
    refusal=refusal,
    not_found=lambda _method, _path: (404, b'{"detail":"Not Found"}'),
    not_allowed=lambda _method, _path: (405, b'{"detail":"Method Not Allowed"}'),
    models=models,
    chat=chat,
    chat_events=chat_events,
    completion=completion,
    completion_events=completion_events,
)
VLLM = replace(PLAIN, bare_head=BARE_HEAD, redirects=True, demands=VLLM_DEMANDS, lenient=frozenset({"sum"}))
