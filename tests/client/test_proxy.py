from __future__ import annotations

import pytest

from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend


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


def test_through_a_proxy_httpx_carries_and_the_answer_is_still_measured(environment, wire, say):
    server = wire([say.whole])
    environment.setenv("http_proxy", server.url)
    recording = Recording()
    backend = Backend(name="b", kind="openai", url="http://far.example/v1", model="m")
    with Client(backend, recording) as client:
        assert client.chat("hi").text == "hello world"
    assert server.requests[0].startswith(b"POST http://far.example/v1/chat/completions HTTP/1.1\r\n")
    assert recording.exchanges[0].first_token_s is not None
