from __future__ import annotations

import time

import pytest

from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.core.backend import Timeouts
from pytest_llmperf.core.exchange import FailureKind


@pytest.fixture
def environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1/v1", "http://[::1]:8000", "http://api.localhost"]
)
def test_this_machine_is_never_reached_through_a_proxy(url, environment):
    environment.setenv("http_proxy", "http://proxy:3128")
    assert proxy_for(url) is None


def test_the_proxy_of_the_environment_is_used(environment):
    environment.setenv("https_proxy", "http://proxy:3128")
    assert proxy_for("https://api.openai.com/v1") == "http://proxy:3128"
    assert proxy_for("http://example.com") is None


def test_all_proxy_and_no_proxy_are_obeyed(environment):
    environment.setenv("all_proxy", "http://proxy:3128")
    environment.setenv("no_proxy", "inside.example")
    assert proxy_for("http://example.com") == "http://proxy:3128"
    assert proxy_for("http://inside.example") is None


@pytest.fixture
def far(environment, wire, client):
    """A client of a far server that is reached through a proxy, which plays the script."""

    def far(*script, **how):
        server = wire(script)
        environment.setenv("http_proxy", server.url)
        return server, client("http://far.example/v1", **how)

    return far


def test_through_a_proxy_httpx_carries_and_the_answer_is_still_measured(far, say):
    server, asker = far(say.whole)
    assert asker.chat("hi").text == "hello world"
    assert server.requests[0].startswith(b"POST http://far.example/v1/chat/completions HTTP/1.1\r\n")
    seen = asker.exchange
    assert seen.due_s <= seen.first_token_s <= seen.done_s


def test_through_a_proxy_failures_keep_their_kind(far, say):
    _, asker = far(say.sse + say.hello, 0.02, say.CLOSE)
    with pytest.raises(RequestFailed):
        asker.chat("hi")
    assert asker.failure.kind is FailureKind.CUT


def test_through_a_proxy_an_error_ends_the_answer(far, say):
    limits = Timeouts(total_s=5)
    _, asker = far(say.sse, say.chunk(b'data: {"error":"boom"}\n\n'), say.HOLD, timeouts=limits)
    begun_s = time.monotonic()
    with pytest.raises(RequestFailed, match="boom"):
        asker.chat("hi")
    assert time.monotonic() - begun_s < limits.total_s  # it does not wait for more


def test_through_a_proxy_a_silent_server_is_left(far, say):
    _, asker = far(say.HOLD, timeouts=Timeouts(first_token_s=0.1, total_s=0.2))
    with pytest.raises(RequestFailed):
        asker.chat("hi")
    assert asker.failure.kind in {FailureKind.TIMEOUT_FIRST_TOKEN, FailureKind.TIMEOUT_TOTAL}
