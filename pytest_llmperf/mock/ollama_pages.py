"""Ollama's paths that ask no model: what there is, what runs, and what is done to models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llmperf.mock import ollama
from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal, parse_body
from pytest_llmperf.mock.dialect import NDJSON, to_bytes

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock


_VERIFY, _WRITE, _DONE = "verifying sha256 digest", "writing manifest", "success"


def named(body: Any) -> str:
    """The model that *body* names, under its name of today or of before."""
    name = (body.get("model") or body.get("name")) if isinstance(body, dict) else None
    if not isinstance(name, str) or not name:
        raise Refusal(status=400, message="model is required")
    return name


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

    def pull(self, call: Call) -> None:
        """/api/pull and /api/push: of a model that is there, nothing is left to be loaded."""
        body = parse_body(call.body)
        name = named(body)
        if not self._is_here(name):
            self._tell(call, body, [{"error": "pull model manifest: file does not exist"}], status=500)
            return
        layer = {"digest": f"sha256:{ollama.digest(name)}", "total": ollama.SIZE, "completed": ollama.SIZE}
        steps: list[dict[str, Any]] = [
            {"status": text} for text in ("pulling manifest", _VERIFY, _WRITE, _DONE)
        ]
        steps.insert(1, {"status": f"pulling {ollama.digest(name)[:12]}", **layer})
        self._tell(call, body, steps)

    def create(self, call: Call) -> None:
        """/api/create: a model from one that is there."""
        body = parse_body(call.body)
        name, source = named(body), body.get("from")
        if source is None and not body.get("files"):
            raise Refusal(status=400, message="neither 'from' or 'files' was specified")
        if isinstance(source, str) and not self._is_here(source):
            self._tell(call, body, [{"error": "pull model manifest: file does not exist"}], status=500)
            return
        self._add(name)
        layer = f"using existing layer sha256:{ollama.digest(str(source))}"
        self._tell(call, body, [{"status": text} for text in (layer, _WRITE, _DONE)])

    def copy(self, call: Call) -> None:
        """/api/copy."""
        body = parse_body(call.body)
        source, target = (
            body.get(key) if isinstance(body, dict) else None for key in ("source", "destination")
        )
        if not isinstance(source, str) or not isinstance(target, str) or not source or not target:
            raise Refusal(status=400, message="source and destination are required")
        if not self._is_here(source):
            raise Refusal(status=404, message=f'model "{source}" not found')
        self._add(target)
        self._server.send(call, 200, b"", content_type=b"")

    def delete(self, call: Call) -> None:
        """/api/delete."""
        name = named(parse_body(call.body))
        if not self._is_here(name):
            raise Refusal(status=404, message=f"model '{name}' not found", shape="model", value=name)
        server = self._server
        server.serve(tuple(one for one in server.state.models if one not in (name, f"{name}:latest")))
        server.send(call, 200, b"", content_type=b"")

    def _is_here(self, name: str) -> bool:
        models = self._server.limits.models
        return not models or name in models or f"{name}:latest" in models

    def _add(self, name: str) -> None:
        full = name if ":" in name else f"{name}:latest"
        models = self._server.state.models
        if name not in models and full not in models:
            self._server.serve((*models, full))

    def _tell(self, call: Call, body: Any, steps: list[dict[str, Any]], *, status: int = 200) -> None:
        """*steps*, a line each; or only how it ended, if the client wants no stream."""
        if ollama.is_streamed(body):
            lines = b"".join(to_bytes(step) + b"\n" for step in steps)
            self._server.send(call, 200, lines, content_type=NDJSON)
        else:
            self._server.send(call, status, to_bytes(steps[-1]), content_type=ollama.JSON)

    def _give(self, call: Call, value: Any) -> None:
        self._server.send(call, 200, to_bytes(value), content_type=ollama.JSON)
