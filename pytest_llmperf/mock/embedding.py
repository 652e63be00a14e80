"""/v1/embeddings and Ollama's /api/embed: vectors that depend on the text alone."""

from __future__ import annotations

import json
from base64 import b64encode
from struct import pack
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal, parse_body
from pytest_llmperf.mock.conversation import Conversation
from pytest_llmperf.mock.delivering import Delivering
from pytest_llmperf.mock.dialect import to_bytes
from pytest_llmperf.mock.faults import PLAYABLE
from pytest_llmperf.mock.instead import played_instead
from pytest_llmperf.mock.one_off import role_and_fault
from pytest_llmperf.mock.openai_ask import check_model
from pytest_llmperf.mock.pieces import count_tokens
from pytest_llmperf.mock.plan import Plan

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

_WIDTH = 16  # components of a vector when nobody says how many
_MOST_INPUTS = 2048
_OLLAMA_NS = 14_143_917  # what Ollama's documentation shows
_WEIGHT = 1024  # components of an embedding are whole numbers below it, before it is made a unit vector


class Embedding:
    """Texts to vectors, after the time to first token."""

    __slots__ = ("_delivering", "_server")

    def __init__(self, server: Mock) -> None:
        self._server = server
        self._delivering = Delivering(server)

    def openai(self, call: Call) -> None:
        """/v1/embeddings."""
        request = parse_body(call.body)
        if not isinstance(request, dict) or "input" not in request:
            raise Refusal(
                status=400, message="Missing required parameter: 'input'.", param="input", shape="prompt"
            )
        model = check_model(request, self._server.limits)
        texts = _inputs(request["input"])
        self._server.dialect.demands.inputs(texts)
        width = request.get("dimensions")
        width = width if isinstance(width, int) and 0 < width <= 8192 else _WIDTH
        data = [
            {
                "object": "embedding",
                "index": at,
                "embedding": _vector(text, width, request.get("encoding_format")),
            }
            for at, text in enumerate(texts)
        ]
        tokens = sum(map(count_tokens, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = to_bytes({"object": "list", "data": data, "model": model, "usage": usage})
        self._give(call, body, model=model, texts=texts)

    def ollama(self, call: Call) -> None:
        """/api/embed and its predecessor /api/embeddings."""
        is_old = call.target.startswith(b"/api/embeddings")
        request = parse_body(call.body)
        kind = "Embedding" if is_old else "Embed"
        model = ollama.checked_model(request, self._server.limits.models, kind=kind)
        given = request.get("prompt" if is_old else "input")
        texts = [given] if isinstance(given, str) else given or []
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Refusal(status=400, message="invalid input type")
        if texts == [""]:
            texts = []  # it only loads the model
        vectors = [_vector(text, _WIDTH, None) for text in texts]
        body: dict[str, Any] = {"model": model, "embeddings": vectors}
        if is_old:
            body = {"embedding": vectors[0] if vectors else []}
        elif texts:
            body |= {
                "total_duration": _OLLAMA_NS,
                "load_duration": _OLLAMA_NS // 10,
                "prompt_eval_count": sum(map(count_tokens, texts)),
            }
        self._give(call, to_bytes(body), model=model, texts=texts, content_type=ollama.JSON)

    def _give(
        self, call: Call, body: bytes, *, model: str, texts: list[str], content_type: bytes | None = None
    ) -> None:
        """*body*, after the time to first token, with faults."""
        server, state = self._server, self._server.state
        call.number = state.number
        role, fault = role_and_fault(call)
        if fault is None and state.playbook.faults:
            said = Conversation(model=model, user="\n".join(texts), system="", history=(), role=role)
            now_s = state.age_s(call.arrived_ns)
            fault = state.playbook.pick(said, stream=False, now_s=now_s, kinds=PLAYABLE)
        if fault is not None and fault.kind in PLAYABLE:
            call.fault = fault
            if played_instead(server, call, fault):
                return
        head = server.head(call, 200, content_type or server.dialect.json_type, len(body))
        plan = Plan(head=head, parts=[body], stream=False, head_late=True)
        plan.ttft_ns, _ = state.draw_delays(1, call.arrived_ns)
        state.number += 1
        self._delivering.pass_on(call, plan)


def _inputs(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and all(isinstance(item, int) for item in given):
        return [" ".join(map(str, given))]
    if isinstance(given, list) and 0 < len(given) <= _MOST_INPUTS:
        return [item if isinstance(item, str) else json.dumps(item) for item in given]
    raise Refusal(status=400, message="'input' is a text or a list of texts.", param="input", shape="prompt")


def _vector(text: str, width: int, form: Any) -> Any:
    """A unit vector that depends on the text alone."""
    data = text.encode("utf-8", "replace")
    raw = [crc32(data, at) % (2 * _WEIGHT) - _WEIGHT for at in range(width)]
    length = sum(one * one for one in raw) ** 0.5 or 1.0
    vector = [one / length for one in raw]
    return b64encode(pack(f"<{width}f", *vector)).decode() if form == "base64" else vector
