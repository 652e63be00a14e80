"""The routes that tell about the server."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from pytest_llmperf.mock.call import Call
from pytest_llmperf.mock.checks import Refusal, parse_body
from pytest_llmperf.mock.conversation import text_of
from pytest_llmperf.mock.dialect import to_bytes
from pytest_llmperf.mock.facts import Facts, facts_of
from pytest_llmperf.mock.metrics_pages import llamacpp_page, sglang_page, tgi_page
from pytest_llmperf.mock.openai_ask import check_model
from pytest_llmperf.mock.vllm_metrics import only, vllm_page

if TYPE_CHECKING:
    from pytest_llmperf.mock.server import Mock

ONE_MODEL = "/v1/models/"  #: what a model's name follows
_PAGES: dict[str, tuple[Callable[[Facts], bytes], bytes]] = {
    "vllm": (vllm_page, b"text/plain; version=1.0.0; charset=utf-8"),
    "llamacpp": (llamacpp_page, b"text/plain; version=0.0.4"),
    "sglang": (sglang_page, b"text/plain; version=0.0.4; charset=utf-8"),
    "tgi": (tgi_page, b"text/plain; charset=utf-8"),
}


class Telling:
    """Models, health, version, metrics."""

    __slots__ = ("_server", "_started")

    def __init__(self, server: Mock) -> None:
        self._server = server
        self._started = int(time())

    def models(self, call: Call) -> None:
        """/v1/models."""
        body = to_bytes(
            self._server.dialect.models(self._server.state.models, self._server.config.max_model_len)
        )
        self._server.send(call, 200, body, content_type=self._server.dialect.json_type)

    def model(self, call: Call) -> None:
        """/v1/models/NAME."""
        server = self._server
        name = unquote(call.target.partition(b"?")[0].decode("latin-1").removeprefix(ONE_MODEL))
        check_model({"model": name}, server.limits)
        (shown,) = server.dialect.models((name,), server.config.max_model_len)["data"]
        server.send(call, 200, to_bytes(shown), content_type=server.dialect.json_type)

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

    def metrics_asked_for(self, call: Call) -> None:
        """/metrics/ of vLLM, where Prometheus' own client answers: it knows the query ``name[]=NAME``."""
        page = vllm_page(facts_of(self._server))
        asked = parse_qs(call.target.partition(b"?")[2].decode("latin-1")).get("name[]")
        if asked is not None:
            page = only(page, asked)
        self._server.send(call, 200, page, content_type=_PAGES["vllm"][1])

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
