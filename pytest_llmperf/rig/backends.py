"""Which server a backend's name means, and whether it answers."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.metric import nearest
from pytest_llmperf.probes.machine import detected_gpu
from pytest_llmperf.slo_yaml.file import BackendEntry, SloFile

#: Backends that need no entry in slo.yaml.
BUILT_IN = {
    "mock": BackendEntry(kind="mock"),
    "vllm": BackendEntry(kind="openai", url="http://127.0.0.1:8000/v1"),
    "openai": BackendEntry(kind="openai", url="http://127.0.0.1:8000/v1", api_key_env="OPENAI_API_KEY"),
    "ollama": BackendEntry(kind="ollama", url="http://127.0.0.1:11434"),
}

#: How long a server may take to answer before it counts as not there.
PREFLIGHT_S = 5.0
_OWN_S = 30.0  #: for a mock that the session has started: on a busy machine it may be slow, but it is there


def entry_of(name: str, slo_file: SloFile, *, option: str) -> BackendEntry:
    """What is known of the backend *name*: slo.yaml's words over the built-in ones.

    Raises LlmPerfUsageError, which names *option*, when neither knows it.
    """
    known, given = BUILT_IN.get(name), slo_file.backends.get(name)
    if known is None and given is None:
        names = (*BUILT_IN, *slo_file.backends)
        raise LlmPerfUsageError(
            f"{option}: {name} is not a backend{nearest(name, names)} "
            f"Built in or under backends: in slo.yaml are {', '.join(dict.fromkeys(names))}."
        )
    merged = given or BackendEntry()
    if known is not None:
        filled = {
            key: getattr(known, key) for key in ("kind", "url", "api_key_env") if not getattr(merged, key)
        }
        merged = replace(merged, **filled)
    return replace(merged, kind=merged.kind or "openai")


def connect(
    name: str, entry: BackendEntry, *, own_key: bool, mock_speaks: Literal["openai", "ollama"] = "openai"
) -> Backend:
    """The backend *name* at the entry's URL, reachable and with its model known.

    *own_key*: slo.yaml names the key's variable, so it has to be set. *mock_speaks*: the API by
    which a mock is asked. Raises LlmPerfUsageError in one line when no server answers in time.
    """
    from pytest_llmperf.client.probe import preflight  # noqa: PLC0415 - only when it is used

    if entry.url is None:
        raise LlmPerfUsageError(
            f"backend {name} has no URL. Give one with --llm-url, or as backends.{name}.url in slo.yaml."
        )
    backend = Backend(
        name=name,
        kind=mock_speaks if entry.kind == "mock" else str(entry.kind),
        url=entry.url,
        model=entry.model,
        api_key=_api_key(name, entry, required=own_key),
        hardware=entry.hardware or (None if entry.kind == "mock" else detected_gpu()),
        timeouts=entry.timeouts,
    )
    server = preflight(backend, timeout_s=_OWN_S if entry.kind == "mock" else PREFLIGHT_S)
    if backend.model is None and not server.models:
        raise LlmPerfUsageError(
            f"backend {name}: the server lists no model. Name one with --llm-model, "
            f"or as backends.{name}.model in slo.yaml."
        )
    said = " ".join(part for part in (server.kind, server.version) if part and part != "unknown")
    return replace(backend, model=backend.model or server.models[0], server=said or None)


def _api_key(name: str, entry: BackendEntry, *, required: bool) -> str | None:
    if entry.api_key_env is None:
        return None
    key = os.environ.get(entry.api_key_env)
    if key is None and required:
        raise LlmPerfUsageError(
            f"backend {name}: the environment variable {entry.api_key_env} is not set. Set it to the key, "
            "or take api_key_env out of slo.yaml if the server asks for none."
        )
    return key
