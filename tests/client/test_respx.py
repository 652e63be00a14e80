"""The synchronous client's handling of what httpx raises, by respx: no socket is involved."""

from __future__ import annotations

import httpx
import pytest
import respx

from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend, Timeouts
from pytest_llmperf.core.exchange import FailureKind

URL = "http://llm.test/v1"
STREAM = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def recording():
    return Recording()


@pytest.fixture
def client(recording):
    backend = Backend(
        name="b", kind="openai", url=URL, model="m", api_key="key-12345", timeouts=Timeouts(total_s=0)
    )
    with Client(backend, recording) as client:
        yield client


@respx.mock
def test_a_mocked_answer_is_measured_with_the_stamps_there_are(client, recording):
    headers = {"Content-Type": "text/event-stream"}
    route = respx.post(f"{URL}/chat/completions").respond(content=STREAM, headers=headers)
    assert client.chat("hi").text == "hi"
    (seen,) = recording.exchanges
    assert seen.due_s <= seen.first_token_s <= seen.done_s
    assert route.calls.last.request.headers["authorization"] == "Bearer key-12345"


@respx.mock
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectTimeout("slow"), FailureKind.TIMEOUT_CONNECT),
        (httpx.ConnectError("All connection attempts failed"), FailureKind.CONNECT),
        (httpx.ProxyError("407 Proxy Authentication Required"), FailureKind.CONNECT),
        (httpx.UnsupportedProtocol("no such scheme"), FailureKind.CONNECT),
        (httpx.ReadTimeout("slow"), FailureKind.TIMEOUT_TOTAL),
        (httpx.PoolTimeout("full"), FailureKind.TIMEOUT_TOTAL),
        (httpx.ReadError("reset"), FailureKind.CUT),
        (httpx.WriteError("broken pipe"), FailureKind.CUT),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), FailureKind.CUT),
        (
            httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
            FailureKind.CUT,
        ),
        (httpx.RemoteProtocolError("illegal status line"), FailureKind.MALFORMED),
    ],
    ids=repr,
)
def test_what_httpx_raises_keeps_its_kind(error, kind, client, recording):
    respx.post(f"{URL}/chat/completions").mock(side_effect=error)
    with pytest.raises(RequestFailed):
        client.chat("hi")
    assert [seen.failure.kind for seen in recording.exchanges] == [kind]


@respx.mock
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_status_is_kept_with_its_words(status, client, recording):
    respx.post(f"{URL}/chat/completions").respond(status, json={"error": {"message": "no"}})
    with pytest.raises(RequestFailed, match=f"http_status: HTTP {status}: no"):
        client.chat("hi")
    assert recording.exchanges[0].failure.status == status


@respx.mock
def test_an_error_that_is_not_httpxs_is_not_swallowed(client, recording):
    respx.post(f"{URL}/chat/completions").mock(side_effect=RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        client.chat("hi")
    assert [seen.failure.kind for seen in recording.exchanges] == [FailureKind.CANCELLED]


def test_what_respx_lets_through_is_asked_without_httpx(wire, say):
    server = wire([say.whole])
    recording = Recording()
    with respx.mock(assert_all_called=False) as router:
        router.route(host="127.0.0.1").pass_through()
        with Client(Backend(name="b", kind="openai", url=server.url, model="m"), recording) as client:
            assert [client.chat("hi").text for _ in range(2)] == ["hello world", "hello world"]
    assert ([seen.failure for seen in recording.exchanges], server.connections) == ([None, None], 1)


def test_who_replaces_the_transport_of_httpx_is_asked(client, monkeypatch):
    headers = {"Content-Type": "text/event-stream"}
    answer = httpx.Response(200, headers=headers, stream=httpx.ByteStream(STREAM))
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda *_: answer)
    assert client.chat("hi").text == "hi"
