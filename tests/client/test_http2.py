"""A user's client on httpx may speak HTTP/2, and is measured."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import threading

import h2.config
import h2.connection
import h2.events
import pytest
import trustme

from pytest_llmperf.ab.arms import Arm, Switch
from pytest_llmperf.client.counting import estimate
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.iteration_log import IterationLog
from pytest_llmperf.llm_client import LlmClient

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class Http2Server:
    """Answers every request with *pieces*, each in a frame of its own; speaks nothing but HTTP/2."""

    def __init__(self, pieces, context):
        self._pieces = pieces
        context.set_alpn_protocols(["h2"])
        self._context = context
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self):
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self):
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self.connections = 0
        server = await asyncio.start_server(self._speak, "127.0.0.1", 0, ssl=self._context)
        self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _speak(self, reader, writer):
        self.connections += 1
        speaking = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        speaking.initiate_connection()
        while True:
            writer.write(speaking.data_to_send())
            if not (data := await reader.read(65536)):
                writer.close()
                return
            for event in speaking.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    head = [(":status", "200"), ("content-type", "text/event-stream")]
                    speaking.send_headers(event.stream_id, head)
                    for piece in self._pieces:
                        speaking.send_data(event.stream_id, piece)
                    speaking.end_stream(event.stream_id)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    told = [
        {"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}},
    ]
    pieces = [b"data: %s\n\n" % json.dumps(each).encode() for each in told]
    with Http2Server([*pieces, b"data: [DONE]\n\n"], context) as running:
        yield running


@pytest.fixture
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def log():
    return IterationLog()


@pytest.fixture
def llm_client(server, log):
    arms = {Arm.CANDIDATE: Backend(name="b", kind="openai", url=server.url, model="m")}
    key = secrets.token_urlsafe()
    made = LlmClient(
        log,
        Switch(),
        arms,
        key=key,
        relay=lambda: pytest.fail("no relay"),
        count=estimate,
    )
    yield made
    made.close()


def test_requests_at_once_share_a_connection_and_each_is_measured(llm_client, log, server, trusting):
    iteration = log.iteration()

    async def run():
        asker = llm_client.async_http_client(http2=True, verify=trusting)
        await asker.post("chat/completions", json=ASK)
        answers = await asyncio.gather(*(asker.post("chat/completions", json=ASK) for _ in range(3)))
        await llm_client.aclose()
        return [answer.http_version for answer in answers]

    with iteration:
        assert asyncio.run(run()) == ["HTTP/2"] * 3
    assert server.connections == 1
    exchanges = iteration.close().exchanges
    assert [(each.failure, each.tokens.output) for each in exchanges] == [(None, 5)] * 4
    assert all(each.due_s <= each.sent_s <= each.first_token_s <= each.done_s for each in exchanges)


def test_a_synchronous_client_speaks_it_too(llm_client, log, trusting):
    with log.iteration() as iteration:
        answer = llm_client.http_client(http2=True, verify=trusting).post("chat/completions", json=ASK)
    assert answer.http_version == "HTTP/2"
    assert [each.tokens.output for each in iteration.close().exchanges] == [5]


def test_a_client_made_with_other_options_is_another_one(llm_client, trusting):
    one, other = llm_client.http_client(verify=trusting), llm_client.http_client(http2=True, verify=trusting)
    assert one is not other
    assert one is llm_client.http_client(verify=trusting)
