"""The paths of each kind of server, and who answers on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_llmperf.mock import llamacpp_native, sglang_native, tgi_native
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.embedding import Embedding
from pytest_llmperf.mock.generating import Generating
from pytest_llmperf.mock.ollama_pages import OllamaPages
from pytest_llmperf.mock.server_pages import PAGES
from pytest_llmperf.mock.telling import ONE_MODEL, Telling
from pytest_llmperf.mock.tokenizing import Tokenizing

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

Route = Callable[[Call], None]
Routes = dict[str, dict[str, Route]]  #: path (ONE_MODEL: and what begins so), method


def routes_of(server: Mock) -> Routes:
    """Everything that the dialect of *server* answers on."""
    generating, telling, tokenizing = Generating(server), Telling(server), Tokenizing(server)
    name = server.dialect.name
    routes: Routes = {
        "/v1/chat/completions": {"POST": generating.chat},
        "/v1/completions": {"POST": generating.completion},
        "/v1/models": {"GET": telling.models},
    }
    if name in ("vllm", "sglang", "tgi", "llamacpp"):
        routes["/health"] = {"GET": telling.health}
        routes["/metrics"] = {"GET": telling.metrics}
        routes["/tokenize"] = {"POST": tokenizing.tokenize}
    if name in ("vllm", "sglang", "llamacpp"):
        routes["/detokenize"] = {"POST": tokenizing.detokenize}
    if name in ("vllm", "openai", "ollama", "sglang"):
        routes["/v1/embeddings"] = {"POST": Embedding(server).openai}
    if name in ("openai", "ollama", "sglang"):
        routes[ONE_MODEL] = {"GET": telling.model}
    routes |= {path: {"GET": telling.page(page)} for path, page in PAGES.get(name, {}).items()}
    if name in _OWN:
        routes |= _OWN[name](server, generating, telling)
    if server.dialect.answers_head:
        for methods in routes.values():
            if "GET" in methods:
                methods["HEAD"] = methods["GET"]
    return routes


def _vllm(_: Mock, __: Generating, telling: Telling) -> Routes:
    return {
        "/metrics/": {"GET": telling.metrics_asked_for},
        "/version": {"GET": telling.version},
        "/load": {"GET": telling.load},
        "/reset_prefix_cache": {"POST": telling.reset_prefix_cache},
        "/ping": {"GET": telling.health, "POST": telling.health},
    }


def _llamacpp(_: Mock, generating: Generating, telling: Telling) -> Routes:
    completion = generating.native(llamacpp_native.COMPLETION)
    return {
        "/completion": {"POST": completion},
        "/completions": {"POST": completion},
        "/v1/health": {"GET": telling.health},
        "/v1/embeddings": {"POST": telling.unsupported("embeddings", "--embeddings")},
        "/v1/rerank": {"POST": telling.unsupported("reranking", "--reranking")},
        "/apply-template": {"POST": telling.apply_template},
    }


def _sglang(_: Mock, generating: Generating, telling: Telling) -> Routes:
    generate = generating.native(sglang_native.GENERATE)
    return {
        "/generate": {"POST": generate, "PUT": generate},
        "/health_generate": {"GET": telling.health},
        "/flush_cache": {"GET": telling.flush_cache, "POST": telling.flush_cache},
    }


def _tgi(_: Mock, generating: Generating, __: Telling) -> Routes:
    return {
        "/": {"POST": generating.native(tgi_native.ROOT)},
        "/generate": {"POST": generating.native(tgi_native.GENERATE)},
        "/generate_stream": {"POST": generating.native(tgi_native.GENERATE_STREAM)},
    }


def _ollama(server: Mock, generating: Generating, _: Telling) -> Routes:
    pages, embedding = OllamaPages(server), Embedding(server)
    return {
        "/": {"GET": pages.hello, "HEAD": pages.hello},
        "/api/chat": {"POST": generating.ollama_chat},
        "/api/generate": {"POST": generating.ollama_generate},
        "/api/tags": {"GET": pages.tags, "HEAD": pages.tags},
        "/api/ps": {"GET": pages.running},
        "/api/version": {"GET": pages.version, "HEAD": pages.version},
        "/api/show": {"POST": pages.show},
        "/api/pull": {"POST": pages.pull},
        "/api/push": {"POST": pages.pull},
        "/api/create": {"POST": pages.create},
        "/api/copy": {"POST": pages.copy},
        "/api/delete": {"DELETE": pages.delete},
        "/api/embed": {"POST": embedding.ollama},
        "/api/embeddings": {"POST": embedding.ollama},
    }


_OWN: dict[str, Callable[[Mock, Generating, Telling], Routes]] = {
    "vllm": _vllm,
    "llamacpp": _llamacpp,
    "sglang": _sglang,
    "tgi": _tgi,
    "ollama": _ollama,
}
