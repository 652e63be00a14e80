"""The routes that tell about the server or turn texts into numbers."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from struct import pack
from time import time
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Problem, Refusal, flag, parse_body, validation
from pytest_llmperf.mock.conversation import text_of
from pytest_llmperf.mock.dialect import to_bytes
from pytest_llmperf.mock.facts import Facts, facts_of
from pytest_llmperf.mock.metrics_pages import llamacpp_page, sglang_page, tgi_page
from pytest_llmperf.mock.openai_ask import check_model, message_tokens
from pytest_llmperf.mock.pieces import count_tokens, split_pieces, token_ids
from pytest_llmperf.mock.request_fields import DETOKENIZE, TOKENIZE, check_fields
from pytest_llmperf.mock.vllm_metrics import vllm_page

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

_REMEMBERED = 100_000  # tokens, for /detokenize
_PAGES: dict[str, tuple[Callable[[Facts], bytes], bytes]] = {
    "vllm": (vllm_page, b"text/plain; version=1.0.0; charset=utf-8"),
    "llamacpp": (llamacpp_page, b"text/plain; version=0.0.4"),
    "sglang": (sglang_page, b"text/plain; version=0.0.4; charset=utf-8"),
    "tgi": (tgi_page, b"text/plain; charset=utf-8"),
}
_EMBED_NS = 14_143_917  # what Ollama's documentation shows
_WEIGHT = 1024  # components of an embedding are whole numbers below it, before it is made a unit vector


class Telling:
    """Models, health, version, metrics, tokens, embeddings."""

    __slots__ = ("_pieces", "_server", "_started")

    def __init__(self, server: Mock) -> None:
        self._server = server
        self._started = int(time())
        self._pieces: dict[int, str] = {}  # of tokens that /tokenize gave

    def models(self, call: Call) -> None:
        """/v1/models."""
        body = to_bytes(
            self._server.dialect.models(self._server.state.models, self._server.config.max_model_len)
        )
        self._server.send(call, 200, body, content_type=self._server.dialect.json_type)

    def health(self, call: Call) -> None:
        """/health."""
        if self._server.dialect.name == "llamacpp":
            self._server.send(call, 200, b'{"status":"ok"}', content_type=self._server.dialect.json_type)
        else:
            self._server.send(call, 200, b"", content_type=b"")

    def unsupported(self, what: str, option: str) -> Callable[[Call], None]:
        """What llama.cpp's server says of what it was not started for."""

        def refuse(_: Call) -> None:
            text = f"This server does not support {what}. Start it with `{option}`"
            raise Refusal(status=501, message=text)

        return refuse

    def apply_template(self, call: Call) -> None:
        """llama.cpp's /apply-template, with the template that /props shows."""
        checked = self._server.dialect.demands.chat(parse_body(call.body))
        text = "".join(
            f"<|im_start|>{message['role']}\n{text_of(message.get('content'))}<|im_end|>\n"
            for message in checked["messages"]
        )
        body = to_bytes({"prompt": f"{text}<|im_start|>assistant\n"})
        self._server.send(call, 200, body, content_type=self._server.dialect.json_type)

    def load(self, call: Call) -> None:
        """VLLM's /load, which counts only when vLLM is told to (``--enable-server-load-tracking``)."""
        self._server.send(call, 200, b'{"server_load":0}')

    def version(self, call: Call) -> None:
        """/version."""
        self._server.send(call, 200, to_bytes({"version": self._server.config.version}))

    def reset_prefix_cache(self, call: Call) -> None:
        """/reset_prefix_cache."""
        self._server.state.engine.reset_prefix_cache()
        self._server.send(call, 200, b"", content_type=b"")

    def metrics(self, call: Call) -> None:
        """/metrics."""
        facts = facts_of(self._server)
        render, kind = _PAGES[self._server.dialect.name]
        started = (
            {"Process-Start-Time-Unix": str(self._started)}
            if self._server.dialect.name == "llamacpp"
            else None
        )
        self._server.send(call, 200, render(facts), content_type=kind, extra=started)

    def page(self, describe: Callable[[Facts], Any]) -> Callable[[Call], None]:
        """The route that tells what *describe* says."""

        def tell(call: Call) -> None:
            body = to_bytes(describe(facts_of(self._server)))
            self._server.send(call, 200, body, content_type=self._server.dialect.json_type)

        return tell

    def flush_cache(self, call: Call) -> None:
        """SGLang's /flush_cache."""
        self._server.state.engine.reset_prefix_cache()
        text = b"Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting requests, the operation will not be performed.)\n"  # noqa: E501
        self._server.send(call, 200, text, content_type=b"text/html; charset=utf-8")

    def detokenize(self, call: Call) -> None:
        """/detokenize: the text of ids that /tokenize gave; an id that it never gave is U+FFFD."""
        request = parse_body(call.body)
        if self._server.dialect.name == "llamacpp":
            ids = _llamacpp_ids(request)
        else:
            ids = check_fields(request, DETOKENIZE, required=("tokens",))["tokens"]
        text = "".join(self._pieces.get(int(one), "\N{REPLACEMENT CHARACTER}") for one in ids)
        key = "content" if self._server.dialect.name == "llamacpp" else "prompt"
        self._server.send(call, 200, to_bytes({key: text}), content_type=self._server.dialect.json_type)

    def _ids(self, text: str) -> list[int]:
        """The tokens of *text*, remembered for /detokenize."""
        ids = token_ids(text)
        if len(self._pieces) > _REMEMBERED:
            self._pieces.clear()
        if text:
            self._pieces.update(zip(ids, split_pieces(text), strict=True))
        return ids

    def tokenize(self, call: Call) -> None:
        """/tokenize."""
        request = parse_body(call.body)
        if self._server.dialect.name == "llamacpp":
            given = request if isinstance(request, dict) else {}
            text = str(given.get("content") or "")
            tokens: list[Any] = self._ids(text)
            if given.get("with_pieces") is True and text:
                tokens = [
                    {"id": one, "piece": piece} for one, piece in zip(tokens, split_pieces(text), strict=True)
                ]
            body = to_bytes({"tokens": tokens})
            self._server.send(call, 200, body, content_type=self._server.dialect.json_type)
            return
        checked = check_fields(request, TOKENIZE, required=())
        if checked.get("prompt") is None and checked.get("messages") is None:
            names = ("prompt", "messages")
            raise validation(
                [Problem("missing", f"body.{name}", "Field required", checked) for name in names]
            )
        check_model(checked, self._server.limits)
        messages = checked.get("messages")
        if messages is not None:
            kept = [message for message in messages if isinstance(message, dict)]
            text = "\n".join(text_of(message.get("content")) for message in kept)
            count = sum(map(message_tokens, kept))
        else:
            text = str(checked.get("prompt") or "")
            count = count_tokens(text)
        pieces = list(split_pieces(text)) if text else []
        answer = {
            "count": count,
            "max_model_len": self._server.config.max_model_len,
            "tokens": [*self._ids(text), *([0] * (count - len(pieces)))][:count],
            "token_strs": pieces if flag(checked.get("return_token_strs")) else None,
        }
        self._server.send(call, 200, to_bytes(answer))

    def embeddings(self, call: Call) -> None:
        """/v1/embeddings."""
        request = parse_body(call.body)
        if not isinstance(request, dict) or "input" not in request:
            raise Refusal(
                status=400, message="Missing required parameter: 'input'.", param="input", shape="prompt"
            )
        model = check_model(request, self._server.limits)
        texts = _inputs(request["input"])
        width = request.get("dimensions")
        width = width if isinstance(width, int) and 0 < width <= 8192 else 16
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
        self._late(call, to_bytes({"object": "list", "data": data, "model": model, "usage": usage}))

    def ollama_embed(self, call: Call) -> None:
        """/api/embed and its predecessor /api/embeddings."""
        request = parse_body(call.body)
        ollama.show(
            request, models=self._server.limits.models, max_model_len=1
        )  # the same checks of the model's name
        texts = _inputs(request.get("input") or request.get("prompt") or "")
        vectors = [_vector(text, 16, None) for text in texts]
        body: dict[str, Any] = {
            "model": request.get("model") or request["name"],
            "embeddings": vectors,
            "total_duration": _EMBED_NS,
            "load_duration": _EMBED_NS // 10,
            "prompt_eval_count": sum(map(count_tokens, texts)),
        }
        if call.target.startswith(b"/api/embeddings"):
            body = {"embedding": vectors[0]}
        self._late(call, to_bytes(body))

    def _late(self, call: Call, body: bytes) -> None:
        """A whole answer after the time to first token."""
        call.number = self._server.state.number
        ttft_ns, _ = self._server.state.draw_delays(1, call.arrived_ns)
        self._server.state.number += 1
        if ttft_ns:
            self._server.timers.at(call.arrived_ns + ttft_ns, lambda _: self._server.send(call, 200, body))
        else:
            self._server.send(call, 200, body)


def _llamacpp_ids(request: Any) -> list[int]:
    ids = request.get("tokens") if isinstance(request, dict) else None
    for one in ids if isinstance(ids, list) else ():
        if isinstance(one, bool) or not isinstance(one, int):
            text = "[json.exception.type_error.302] type must be number, but is string"
            raise Refusal(status=500, message=text, shape="own")
    return ids if isinstance(ids, list) else []


def _inputs(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and all(isinstance(item, int) for item in given):
        return [" ".join(map(str, given))]
    if isinstance(given, list) and 0 < len(given) <= 2048:
        return [item if isinstance(item, str) else json.dumps(item) for item in given]
    raise Refusal(status=400, message="'input' is a text or a list of texts.", param="input", shape="prompt")


def _vector(text: str, width: int, form: Any) -> Any:
    """A unit vector that depends on the text alone."""
    data = text.encode("utf-8", "replace")
    raw = [crc32(data, at) % (2 * _WEIGHT) - _WEIGHT for at in range(width)]
    length = sum(one * one for one in raw) ** 0.5 or 1.0
    vector = [one / length for one in raw]
    return b64encode(pack(f"<{width}f", *vector)).decode() if form == "base64" else vector
