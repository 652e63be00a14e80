"""Looks at a server before anything is measured."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

import httpx

from pytest_llmperf.client.aside import Answer, ask, client_for, why_unanswered
from pytest_llmperf.client.calls import without_credentials
from pytest_llmperf.client.redact import redact, safe_url, secrets_of
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.wire.endpoint import openai_url, root_url
from pytest_llmperf.wire.errors import failure_of_status
from pytest_llmperf.wire.json_value import EMPTY, JsonObject, as_items, as_object, as_text, loads

_OPTIONAL_S = 1.0  #: for each thing that is only nice to know
_OWNERS = {
    "vllm": "vllm",
    "llamacpp": "llama.cpp",
    "sglang": "sglang",
    "library": "ollama",
    "openai": "openai",
    "openai-internal": "openai",
    "system": "openai",
    "organization_owner": "lm-studio",
    "pytest-llmperf": "mock",
}


class Unreachable(LlmPerfUsageError):  # noqa: N818 - users read it as a sentence
    """There is no usable server. The text is one line without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What a server says about itself."""

    models: tuple[str, ...] = ()  #: empty also when it cannot list them
    version: str | None = None
    kind: str = "unknown"  #: a guess: vllm, llama.cpp, sglang, ollama, openai, lm-studio, mock


def preflight(backend: Backend, *, timeout_s: float = 5.0) -> ServerInfo:
    """What the server of *backend* is, within *timeout_s* seconds in all. Raises Unreachable.

    Only a server that cannot be reached, or that refuses the key, is an error: whatever else it
    does not answer is unknown.
    """
    with closing(_Probe(backend, timeout_s)) as probe:
        if backend.kind == "ollama":
            return _ollama(probe)
        return _openai(probe)


def first_model(backend: Backend, *, timeout_s: float = 5.0) -> str:
    """The first model that the server lists. Raises Unreachable."""
    with closing(_Probe(backend, timeout_s)) as probe:
        models = _listed_ollama(probe)[0] if backend.kind == "ollama" else _listed_openai(probe)[0]
    if not models:
        raise Unreachable(f"{safe_url(backend.url)} lists no model: name one with --llm-model")
    return models[0]


def _openai(probe: _Probe) -> ServerInfo:
    models, kind = _listed_openai(probe)
    if kind == "openai":  # its gateway has neither of the following
        return ServerInfo(models=models, kind=kind)
    version = as_text(probe.optional("GET", "/version").get("version")) or None
    if version is None and kind == "ollama":
        version = as_text(probe.optional("GET", "/api/version").get("version")) or None
    if version is None and kind == "llama.cpp":
        version = as_text(probe.optional("GET", "/props").get("build_info")) or None
    if kind == "unknown":  # a proxy may own the models of a vLLM, whose /tokenize tells more than others'
        asked = {"model": probe.backend.model or next(iter(models), ""), "prompt": "a"}
        kind = "vllm" if "max_model_len" in probe.optional("POST", "/tokenize", asked) else kind
    return ServerInfo(models=models, version=version, kind=kind)


def _ollama(probe: _Probe) -> ServerInfo:
    models, kind = _listed_ollama(probe)
    version = as_text(probe.optional("GET", "/api/version").get("version")) or None
    return ServerInfo(models=models, version=version, kind=kind)


def _listed_openai(probe: _Probe) -> tuple[tuple[str, ...], str]:
    listed, server = probe.required("GET", openai_url(probe.base_url, "/models"))
    entries = [as_object(entry) for entry in as_items(listed.get("data"))]
    models = tuple(name for entry in entries if (name := as_text(entry.get("id"))))
    owner = as_text(entries[0].get("owned_by")).lower() if entries else ""
    kind = _OWNERS.get(owner, "unknown")
    return models, "llama.cpp" if "llama.cpp" in server and kind == "unknown" else kind


def _listed_ollama(probe: _Probe) -> tuple[tuple[str, ...], str]:
    listed, _ = probe.required("GET", root_url(probe.base_url, "/api/tags"))
    entries = [as_object(entry) for entry in as_items(listed.get("models"))]
    names = (as_text(entry.get("name")) or as_text(entry.get("model")) for entry in entries)
    return tuple(filter(None, names)), "ollama" if "models" in listed else "unknown"


class _Probe:
    """Requests within one budget of time."""

    def __init__(self, backend: Backend, timeout_s: float) -> None:
        self.backend = backend
        self.base_url = without_credentials(backend.url)
        self._timeout_s = timeout_s
        self._until_s = time.perf_counter() + timeout_s
        self._http = client_for(backend)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def required(self, method: str, url: str) -> tuple[JsonObject, str]:
        """The JSON object at *url*, empty if it is none, and the name of the server. Raises Unreachable."""
        where = safe_url(url)
        try:
            answer = self._ask(method, url, None, self._timeout_s)
        except httpx.HTTPError as error:
            raise self._unreachable(why_unanswered(error, where, within_s=self._timeout_s)) from None
        if answer.status in {401, 403}:
            hint = (
                "is the right api_key_env set?" if self.backend.api_key else "it wants a key: set api_key_env"
            )
            refused = failure_of_status(answer.status, answer.body).message
            raise self._unreachable(f"{where}: {refused} ({hint})")
        return (_object(answer.body) if answer.status < 400 else EMPTY), answer.server

    def optional(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """The JSON object at *path* of the server, empty whatever went wrong."""
        try:
            answer = self._ask(method, root_url(self.base_url, path), body, _OPTIONAL_S)
        except httpx.HTTPError:
            return EMPTY
        return _object(answer.body) if answer.status < 400 else EMPTY

    def _ask(self, method: str, url: str, body: JsonObject | None, allowed_s: float) -> Answer:
        until_s = min(time.perf_counter() + allowed_s, self._until_s)
        return ask(self._http, method, url, body, until_s=until_s)

    def _unreachable(self, text: str) -> Unreachable:
        return Unreachable(
            f"backend {self.backend.name}: {redact(text, secrets_of(self.backend.url, self.backend.api_key))}"
        )


def _object(body: bytes) -> JsonObject:
    try:
        return as_object(loads(body.decode("utf-8", errors="replace")))
    except ValueError:
        return EMPTY
