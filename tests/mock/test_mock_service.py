"""Sockets and resets: what is refused, for how long, and what a reset leaves behind."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.config import parse_config
from pytest_llmperf.mock.service import Service, listen

BODY = b'{"messages": [{"role": "user", "content": "a"}]}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY) + BODY
)


@pytest.fixture
def serve():
    """Runs what a client does beside a service in the same loop."""

    def run(client, **latency):
        async def both():
            service = Service(parse_config({"latency": latency}), listen(0), token=None)
            await service.open()
            try:
                return await asyncio.wait_for(client(service), 20)
            finally:
                service.close()
                await asyncio.sleep(0)

        return asyncio.run(both())

    return run


async def until(holds):
    while not holds():  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.001)


async def is_open(service):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    except OSError:
        return False
    writer.close()
    return True


def test_a_shorter_refusal_does_not_end_a_longer_one(serve):
    async def client(service):
        service.refuse(60)
        service.refuse(0)
        await asyncio.sleep(0.01)
        return await is_open(service)

    assert serve(client) is False


def test_a_refusal_ends_by_itself(serve):
    async def client(service):
        service.refuse(0)
        await until(lambda: service._reopening is None)
        return await is_open(service)

    assert serve(client)


def test_a_reset_ends_a_refusal(serve):
    async def client(service):
        service.refuse(60)
        refused = await is_open(service)
        service.mock.reset()
        return refused, await is_open(service), await is_open(service)

    assert serve(client) == (False, True, True)


def test_a_refusal_right_after_a_reset_holds(serve):
    async def client(service):
        service.refuse(60)
        service.mock.reset()
        service.refuse(60)
        await asyncio.sleep(0.01)
        return await is_open(service)

    assert serve(client) is False


def test_the_port_stays_its_own_while_it_refuses(serve):
    async def client(service):
        service.refuse(60)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", service.port))

    serve(client)


def test_a_service_that_refuses_can_be_closed(serve):
    async def client(service):
        service.refuse(60)

    serve(client)


def test_what_was_under_way_at_a_reset_is_not_counted_after_it(serve):
    async def client(service):
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(REQUEST)
        await until(lambda: service.mock.state.running)
        service.mock.reset()
        writer.close()
        await until(lambda: not service.mock.peers)
        return service.mock.state.running, service.mock.state.journal.total

    assert serve(client, ttft="1h") == (0, 0)


def test_what_came_before_a_reset_and_is_answered_after_it_does_not_run_on(serve):
    async def client(service):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(REQUEST * 2)  # the second one waits its turn
        await until(lambda: service.mock.state.running)
        service.mock.reset()
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        writer.close()
        return service.mock.state.running

    assert serve(client, ttft="20ms") == 0


def test_what_no_engine_computes_does_not_run_on(serve):
    body = b'{"model":"m","input":"elma"}'
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(body)

    async def client(service):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(head + length + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(answer.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        writer.close()
        return answer[:12], service.mock.state.running

    assert serve(client, ttft="1ms") == (b"HTTP/1.1 200", 0)


@pytest.mark.parametrize("for_s", [float("nan"), -1, 1e9])
def test_a_refusal_lasts_a_day_at_most(mock, for_s):
    with pytest.raises(LlmPerfUsageError, match="for_s: expected seconds from 0 to 86400"):
        mock.refuse(for_s)
