"""Our clients against servers that we did not write."""

from __future__ import annotations

import asyncio
import json
import re
import time

import httpx
import pytest

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.attempt import Attempt
from pytest_llmperf.client.http import Connection
from pytest_llmperf.client.probe import preflight
from pytest_llmperf.client.recorder import Recording
from pytest_llmperf.client.reply import InvalidJson, RequestFailed
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend, Timeouts
from pytest_llmperf.core.exchange import FailureKind, TokenSource
from pytest_llmperf.tokens import TokenCounter

pytestmark = pytest.mark.real

PROMPT = "Bugün neler yapacağız?"
SCHEMA = {
    "type": "object",
    "properties": {"route": {"enum": ["calendar", "smalltalk"]}, "sure": {"type": "boolean"}},
    "required": ["route", "sure"],
    "additionalProperties": False,
}
ENFORCES_SCHEMA = {"transformers": False, "vllm": True, "llama": True}
LIMITS_CONTEXT = {"transformers": False, "vllm": True, "llama": True}
STATUS_OF_UNKNOWN_MODEL = {"transformers": 400, "vllm": 404, "llama": None}  # llama.cpp answers for any name
KIND = {"transformers": "unknown", "vllm": "vllm", "llama": "llama.cpp"}


class Asked:
    """One of our clients, driven from a synchronous test, and what it recorded."""

    def __init__(self, kind, backend):
        self.kind, self.backend, self.recording = kind, backend, Recording()

    def chat(self, *prompts, **arguments):
        """The replies to *prompts*, asked one after another on one client."""
        if self.kind == "sync":
            with Client(self.backend, self.recording) as client:
                return [client.chat(prompt, **arguments) for prompt in prompts]

        async def ask():
            async with AsyncClient(self.backend, self.recording) as client:
                return [await client.chat(prompt, **arguments) for prompt in prompts]

        return asyncio.run(ask())


def backend_of(server, **changes):
    return Backend(name="real", kind="openai", url=server.url, **{"model": server.model, **changes})


@pytest.fixture(params=["sync", "async"])
def asked(request, server):
    return Asked(request.param, backend_of(server))


def test_a_stream_has_text_and_the_servers_own_token_counts(asked):
    [reply] = asked.chat(PROMPT, max_tokens=16, temperature=0)
    assert reply.text
    assert reply.finish_reason in {"length", "stop"}
    assert reply.tokens.source is TokenSource.SERVER
    assert 0 < reply.tokens.output <= 16
    assert reply.tokens.input > 5


def test_the_first_token_comes_after_the_request_and_before_the_end(asked):
    [reply] = asked.chat(PROMPT, max_tokens=32, temperature=0)
    exchange = reply.exchange
    assert exchange.due_s <= exchange.sent_s < exchange.first_byte_s <= exchange.first_token_s
    assert exchange.first_token_s == exchange.chunk_s[0]
    assert list(exchange.chunk_s) == sorted(exchange.chunk_s)
    # equal where a busy server sends all at once, as vLLM's does that shares two cores with its engine
    assert exchange.chunk_s[-1] <= exchange.done_s
    assert 0 < reply.ttft_ms <= reply.latency_ms


def test_a_stream_comes_in_many_chunks_but_never_in_more_than_tokens(asked):
    [reply] = asked.chat(PROMPT, max_tokens=32, temperature=0)
    assert 4 < len(reply.exchange.chunk_s) <= reply.tokens.output


def test_an_answer_is_the_same_streamed_and_whole(asked):
    [streamed] = asked.chat(PROMPT, max_tokens=24, temperature=0)
    [whole] = asked.chat(PROMPT, max_tokens=24, temperature=0, stream=False)
    assert whole.text.strip() == streamed.text.strip()  # transformers strips only the whole one
    assert whole.finish_reason == streamed.finish_reason
    assert (whole.tokens.input, whole.tokens.output) == (streamed.tokens.input, streamed.tokens.output)
    assert whole.ttft_ms is None


def test_both_clients_get_the_same_answer(server):
    replies = [
        Asked(kind, backend_of(server)).chat(PROMPT, max_tokens=24, temperature=0)[0]
        for kind in ("sync", "async")
    ]
    assert replies[0].text == replies[1].text
    assert replies[0].tokens.total == replies[1].tokens.total


def test_a_schema_gives_valid_json_where_the_server_enforces_it_and_else_is_counted(asked, server):
    [reply] = asked.chat(PROMPT, schema=SCHEMA, max_tokens=100, temperature=0)
    [exchange] = asked.recording.exchanges
    assert exchange.json_valid is ENFORCES_SCHEMA[server.name]
    if ENFORCES_SCHEMA[server.name]:
        assert reply.json == json.loads(reply.text)
        assert reply.finish_reason == "stop"
    else:
        with pytest.raises(InvalidJson):
            _ = reply.json


@pytest.mark.parametrize("stream", [True, False])
def test_an_unknown_model_is_refused_as_the_server_refuses_it(asked, server, stream):
    asked.backend = backend_of(server, model="no-such-model")
    status = STATUS_OF_UNKNOWN_MODEL[server.name]
    if status is None:
        assert asked.chat(PROMPT, max_tokens=4, stream=stream)[0].text
        return
    with pytest.raises(RequestFailed) as failed:
        asked.chat(PROMPT, max_tokens=4, stream=stream)
    assert failed.value.failure.kind is FailureKind.HTTP_STATUS
    assert failed.value.failure.status == status
    assert "no-such-model" in failed.value.failure.message
    assert asked.recording.exchanges == [failed.value.exchange]


@pytest.mark.parametrize("stream", [True, False])
def test_too_long_a_prompt_is_told_from_other_refusals(asked, server, stream):
    if not LIMITS_CONTEXT[server.name]:
        pytest.skip("it answers beyond the context of its model")
    with pytest.raises(RequestFailed) as failed:
        asked.chat("takvim " * 5000, max_tokens=4, stream=stream)
    assert failed.value.failure.kind is FailureKind.CONTEXT_LENGTH


def test_a_connection_that_the_server_closes_between_requests_is_no_failure(asked):
    replies = asked.chat(*[PROMPT] * 20, max_tokens=4, temperature=0)
    assert len({reply.text for reply in replies}) == 1
    assert [exchange.failure for exchange in asked.recording.exchanges] == [None] * 20


def test_many_streams_at_once_are_measured_apart(server):
    recording = Recording()

    async def ask():
        async with AsyncClient(backend_of(server), recording) as client:
            asks = [client.chat(f"{PROMPT} {n}", max_tokens=n, temperature=0) for n in range(1, 13)]
            return await asyncio.gather(*asks)

    replies = asyncio.run(ask())
    assert all(reply.tokens.output <= n for n, reply in enumerate(replies, 1))
    assert len({reply.text for reply in replies}) > 6
    assert len(recording.exchanges) == 12


def test_text_completions_are_measured_too(server):
    with Client(backend_of(server), Recording()) as client:
        reply = client.complete("The json module", max_tokens=8, temperature=0)
    assert reply.text
    assert 0 < reply.tokens.output <= 8
    assert 0 < reply.ttft_ms <= reply.latency_ms


def test_a_total_time_out_ends_a_stream_and_the_server_still_serves(asked, server):
    asked.backend = backend_of(server, timeouts=Timeouts(total_s=0.15))
    with pytest.raises(RequestFailed) as failed:
        asked.chat(PROMPT, max_tokens=2000, temperature=0)
    assert failed.value.failure.kind is FailureKind.TIMEOUT_TOTAL
    assert failed.value.exchange.finish_reason is None
    asked.backend = backend_of(server)
    assert asked.chat(PROMPT, max_tokens=4)[0].text


def test_the_preflight_learns_what_the_server_tells(server):
    info = preflight(backend_of(server))
    assert info.kind == KIND[server.name]
    if server.name != "transformers":  # its /v1/models fails without a cache of downloads
        assert info.models == (server.model,)
        assert info.version


def test_the_token_counter_agrees_with_the_servers_usage(server):
    text = "İki toplantı: 10:00 ve 15:30."
    with TokenCounter(backend_of(server)) as count, Client(backend_of(server), Recording()) as client:
        counted = count(text)
        used = client.complete(text, max_tokens=1).tokens.input
    if server.name == "transformers":
        assert counted.source is TokenSource.ESTIMATE
    else:
        assert counted.source is TokenSource.SERVER
        assert counted == used


def test_the_servers_own_clock_never_says_more_than_ours(asked, server):
    if server.name == "transformers":
        pytest.skip("it does not tell its times")
    before = vllm_e2e(server) if server.name == "vllm" else None
    [reply] = asked.chat(PROMPT, max_tokens=64, temperature=0)
    if before is None:
        timings = reply.raw[-1]["timings"]
        server_ms = timings["prompt_ms"] + timings["predicted_ms"]
        assert timings["prompt_ms"] <= reply.ttft_ms
    else:
        server_ms = (vllm_e2e(server, after=before) - before[1]) * 1e3
    assert 0 < server_ms <= reply.latency_ms


def vllm_e2e(server, *, after=None):
    """Number and sum of the seconds of its requests; with *after* the sum once there is one more."""
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        text = httpx.get(f"{server.url}/metrics").text
        count, total = (
            float(re.search(rf"^vllm:e2e_request_latency_seconds_{name}{{.*}} (\S+)$", text, re.MULTILINE)[1])
            for name in ("count", "sum")
        )
        if after is None:
            return count, total
        if count == after[0] + 1:
            return total
        time.sleep(0.05)
    raise AssertionError("the request is not in /metrics")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_killed_in_the_middle_of_a_stream_gives_a_cut_and_then_no_connection(
    doomed_server, kind, monkeypatch
):
    arrive = Connection.received if kind == "async" else Attempt.bodies
    pieces = []

    def kill_after_four(receiver, data, *at_s):
        arrive(receiver, data, *at_s)
        pieces.extend([data] if kind == "async" else data)
        if doomed_server.process.poll() is None and b"".join(pieces).count(b"data:") >= 6:
            doomed_server.kill()

    # where bytes come in: the asynchronous client reads a stream only when it is over
    where = (Connection, "received") if kind == "async" else (Attempt, "bodies")
    monkeypatch.setattr(*where, kill_after_four)
    asked = Asked(kind, backend_of(doomed_server))
    for expected in (FailureKind.CUT, FailureKind.CONNECT):
        with pytest.raises(RequestFailed) as failed:
            asked.chat(PROMPT, max_tokens=3000, temperature=0)
        assert failed.value.failure.kind is expected
    cut, _ = asked.recording.exchanges
    assert len(cut.chunk_s) >= 4  # it had begun to answer
