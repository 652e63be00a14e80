"""Ollama's paths that ask no model: what there is, what runs, and what is done to models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import parse_body
from pytest_llmperf.mock.dialect import to_bytes

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock


class OllamaPages:
    """One method for each path."""

    __slots__ = ("_server",)

    def __init__(self, server: Mock) -> None:
        self._server = server

    def hello(self, call: Call) -> None:
        """/."""
        self._server.send(call, 200, b"Ollama is running", content_type=b"text/plain; charset=utf-8")

    def tags(self, call: Call) -> None:
        """/api/tags."""
        self._give(call, ollama.tags(self._server.state.models))

    def running(self, call: Call) -> None:
        """/api/ps."""
        self._give(call, ollama.running(self._server.state.models, self._server.config.max_model_len))

    def version(self, call: Call) -> None:
        """/api/version."""
        self._give(call, {"version": ollama.VERSION})

    def show(self, call: Call) -> None:
        """/api/show."""
        server = self._server
        window = server.config.max_model_len
        self._give(
            call, ollama.show(parse_body(call.body), models=server.limits.models, max_model_len=window)
        )

    def _give(self, call: Call, value: Any) -> None:
        self._server.send(call, 200, to_bytes(value), content_type=ollama.JSON)
