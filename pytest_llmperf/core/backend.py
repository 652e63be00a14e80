"""Where requests go: one model server."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect_s: float = 5.0
    first_token_s: float = 30.0
    stall_s: float = 30.0  #: between two pieces of an answer
    total_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessName:
    """Which processes are the server's: exactly one of these."""

    pid: int | str | None = None  #: the number, or a file that holds it
    port: int | None = None  #: the process that listens there
    container: str | None = None  #: a container of Docker or Podman on this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One model server and how to speak to it."""

    name: str  #: as the user selects it: mock, vllm, ollama, openai, or a name from slo.yaml
    kind: str  #: the dialect: openai or ollama
    #: base URL, with or without /v1; credentials in it are never shown
    url: str = field(repr=False)
    model: str | None = None  #: None: the first model that the server lists
    api_key: str | None = field(default=None, repr=False)
    server: str | None = None  #: what it says it is, such as "vllm 0.32.0"
    hardware: str | None = None  #: label for the baseline's fingerprint
    timeouts: Timeouts = Timeouts()
